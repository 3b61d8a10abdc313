//! Removing what is ours.

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use super::error::{At, Result};

/// Removes `dir` and all below it, following no symlink; one that does not exist is removed
/// already.
///
/// A build may leave directories that it made read-only: they are opened first.
pub fn remove_tree(dir: &Path) -> Result<()> {
    match fs::remove_dir_all(dir) {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            open_dirs(dir)?;
            fs::remove_dir_all(dir).at("remove", dir)
        }
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error).at("remove", dir),
        _ => Ok(()),
    }
}

/// Lets us into a directory of ours that shuts everybody out; whatever else is there stays as it is.
pub fn open_dir(path: &Path) -> Result<()> {
    match fs::symlink_metadata(path) {
        Ok(metadata) if metadata.is_dir() => {
            let mode = metadata.permissions().mode() | 0o700;
            fs::set_permissions(path, Permissions::from_mode(mode)).at("set the mode of", path)
        }
        _ => Ok(()),
    }
}

/// Removes a file; one that does not exist is removed already.
pub fn remove_file(path: &Path) -> Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error).at("remove", path),
        _ => Ok(()),
    }
}

/// Lets us into every directory of a tree, outermost first.
fn open_dirs(dir: &Path) -> Result<()> {
    fs::set_permissions(dir, Permissions::from_mode(0o700)).at("set the mode of", dir)?;
    for entry in fs::read_dir(dir).at("read directory", dir)? {
        let entry = entry.at("read directory", dir)?;
        if entry.file_type().at("read metadata", &entry.path())?.is_dir() {
            open_dirs(&entry.path())?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_there_is_removed_and_links_are_not_followed() -> io::Result<()> {
        let (outside, dir) = (tempfile::tempdir()?, tempfile::tempdir()?);
        fs::write(outside.path().join("file"), "stays")?;
        let tree = dir.path().join("tree");
        fs::create_dir_all(tree.join("deep"))?;
        std::os::unix::fs::symlink(outside.path(), tree.join("deep/link"))?;
        fs::set_permissions(tree.join("deep"), Permissions::from_mode(0o500))?;
        for _ in 0..2 {
            remove_tree(&tree).map_err(|error| error.source)?;
            assert!(!tree.exists());
        }
        assert_eq!(fs::read_to_string(outside.path().join("file"))?, "stays");
        for _ in 0..2 {
            remove_file(&outside.path().join("file")).map_err(|error| error.source)?;
            assert!(!outside.path().join("file").exists());
        }
        Ok(())
    }
}
