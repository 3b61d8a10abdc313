//! What no cache can be quicker than, for `scripts/bench`: writing the same files from memory, and decompressing the
//! same packs to nowhere, each with as many threads as there are cores. Prints the seconds of that alone.

use std::error::Error;
use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::{Instant, SystemTime};

use rayon::prelude::*;
use walkdir::WalkDir;

type Result<T = ()> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

/// A file in memory.
struct Held {
    path: PathBuf,
    mode: u32,
    mtime: SystemTime,
    bytes: Vec<u8>,
}

fn main() -> Result {
    let args: Vec<_> = std::env::args_os().skip(1).map(PathBuf::from).collect();
    let seconds = match &args[..] {
        [verb, from, to] if verb == Path::new("write") => write(from, to)?,
        [verb, packs @ ..] if verb == Path::new("decompress") => decompress(packs)?,
        _ => return Err("usage: floor write FROM TO, floor decompress PACK...".into()),
    };
    writeln!(std::io::stdout(), "{{\"seconds\": {seconds}}}")?;
    Ok(())
}

/// Writes what is below `from` to `to`, which does not exist, once it is in memory: files with mode and
/// mtime, names of one file as files of their own.
fn write(from: &Path, to: &Path) -> Result<f64> {
    let (mut dirs, mut files) = (Vec::new(), Vec::new());
    for found in WalkDir::new(from).sort_by_file_name() {
        let found = found?;
        let path = to.join(found.path().strip_prefix(from)?);
        if found.file_type().is_dir() {
            dirs.push(path);
        } else if found.file_type().is_file() {
            let metadata = found.metadata()?;
            let (mode, mtime) = (metadata.permissions().mode(), metadata.modified()?);
            files.push(Held { path, mode, mtime, bytes: fs::read(found.path())? });
        }
    }
    let started = Instant::now();
    dirs.iter().try_for_each(fs::create_dir)?;
    files.par_iter().try_for_each(|Held { path, mode, mtime, bytes }| {
        let file = File::options().write(true).create_new(true).mode(*mode).open(path)?;
        runner_cache::fs::pieces::write_at(&file, bytes, 0)?;
        file.set_modified(*mtime)
    })?;
    Ok(started.elapsed().as_secs_f64())
}

/// Decompresses packs that are in the page cache, each at once.
fn decompress(packs: &[PathBuf]) -> Result<f64> {
    packs.par_iter().try_for_each(|pack| fs::read(pack).map(drop))?;
    let started = Instant::now();
    packs.par_iter().try_for_each_init(Vec::new, |room: &mut Vec<u8>, pack| {
        let bytes = fs::read(pack)?;
        let len = zstd::zstd_safe::get_frame_content_size(&bytes).ok().flatten();
        let len = usize::try_from(len.ok_or("a pack does not say how long it is")?)?;
        room.clear();
        room.reserve(len);
        zstd::bulk::Decompressor::new()?.decompress_to_buffer(&bytes, room)?;
        Ok::<_, Box<dyn Error + Send + Sync>>(())
    })?;
    Ok(started.elapsed().as_secs_f64())
}
