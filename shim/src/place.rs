//! The places of the action's folder, its installer, and the program.

use alloc::ffi::CString;
use core::ffi::CStr;

use crate::environment::Environment;

/// The folder that contains `action.yml`.
///
/// The runner does not tell it: `GITHUB_ACTION_PATH` is unset for a node action, and names the
/// composite's folder inside a composite action.
#[derive(Debug)]
pub(crate) struct Action<'a>(&'a [u8]);

impl<'a> Action<'a> {
    /// Returns the folder that contains the `dist/` of the file mapped at `address`. `maps` holds
    /// the contents of `/proc/self/maps`.
    ///
    /// The mapping is the launcher's own, however node was called: with options before the path,
    /// with a title written over the arguments, through a symlink. The folder is a real path, like
    /// a script's `__dirname`.
    pub(crate) fn of(maps: &'a [u8], address: usize) -> Option<Self> {
        let file = maps.split(|byte| *byte == b'\n').find_map(|line| mapped_file(line, address))?;
        parent(file).and_then(parent).map(Self)
    }

    /// Returns the variable, as `name=value`, that tells the program the folder.
    pub(crate) fn variable(&self) -> CString {
        concat(&[Self::VARIABLE, b"=", self.0])
    }

    /// The name of that variable.
    pub(crate) const VARIABLE: &'static [u8] = b"RUNNER_CACHE_ACTION_DIR";

    /// Returns the script that installs the program.
    pub(crate) fn installer(&self) -> CString {
        concat(&[self.0, b"/dist/install.sh"])
    }

    /// Returns the possible places of the program, best first: beside the launcher, then in the
    /// runner's tool cache.
    pub(crate) fn programs(&self, environment: &Environment<'_>) -> [Option<Program>; 2] {
        let path = concat(&[self.0, b"/dist/bin/runner-cache"]);
        let shipped = Program { path, marker: None };
        let from_variable = environment.get(b"RUNNER_TOOL_CACHE").map(|tools| (tools, &b""[..]));
        let from_home =
            environment.get(b"HOME").map(|home| (home, &b"/.cache/runner-cache/tool"[..]));
        let installed =
            from_variable.or(from_home).map(|(dir, below)| Program::installed(dir, below));
        [Some(shipped), installed]
    }
}

/// A possible place of the program.
#[derive(PartialEq, Eq, Debug)]
pub(crate) struct Program {
    path: CString,
    /// The marker that the installer writes last: without it, the program may be incomplete.
    marker: Option<CString>,
}

impl Program {
    /// Returns the place in the tool cache at `dir` joined with `below`, laid out like the runner's
    /// own tools.
    fn installed(dir: &[u8], below: &[u8]) -> Self {
        const VERSION: &[u8] =
            concat!("/runner-cache/", env!("CARGO_PKG_VERSION"), "/x64").as_bytes();
        Self {
            path: concat(&[dir, below, VERSION, b"/runner-cache"]),
            marker: Some(concat(&[dir, below, VERSION, b".complete"])),
        }
    }

    /// Returns the path if the program exists and is complete.
    pub(crate) fn if_there(&self, exists: impl Fn(&CStr) -> bool) -> Option<&CStr> {
        let is_whole = self.marker.as_deref().is_none_or(&exists);
        (is_whole && exists(&self.path)).then_some(&self.path)
    }
}

/// Returns the path in a line of `/proc/self/maps` if the line maps a file at `address`.
fn mapped_file(line: &[u8], address: usize) -> Option<&[u8]> {
    // `7f0c8f7d9000-7f0c8f7db000 r-xp 00001000 fe:01 1181   /a path/main.node`
    let mut fields = line.splitn(3, |byte| matches!(byte, b'-' | b' '));
    let (start, end) = (hex(fields.next()?)?, hex(fields.next()?)?);
    let rest = fields.next()?;
    let path = rest.iter().position(|byte| *byte == b'/')?;
    (start..end).contains(&address).then_some(&rest[path..])
}

fn hex(digits: &[u8]) -> Option<usize> {
    let digit = |digit: &u8| char::from(*digit).to_digit(16);
    digits
        .iter()
        .try_fold(0, |number, next| Some(number << 4 | usize::try_from(digit(next)?).ok()?))
}

/// Returns the parent directory of `path`, which is absolute.
fn parent(path: &[u8]) -> Option<&[u8]> {
    path.iter().rposition(|byte| *byte == b'/').map(|slash| &path[..slash])
}

/// Joins `parts`. None of them contains a zero: they come from zero-terminated strings and from
/// file names.
fn concat(parts: &[&[u8]]) -> CString {
    CString::new(parts.concat()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_action_is_two_folders_above_the_file_mapped_at_our_address() {
        let maps = b"00400000-00500000 r-xp 00000000 fe:01 1181       /usr/bin/node\n\
            7f10-7f20 r--p 00000000 fe:01 12                 /w/_actions/a b/v1/dist/main.node\n\
            7f20-7f30 r-xp 00001000 fe:01 12                 /w/_actions/a b/v1/dist/main.node\n\
            7f30-7f40 rw-p 00000000 00:00 0\n\
            7f40-7f50 r-xp 00000000 00:00 0                  [vdso]\n\
            7f50-7f60 r-xp 00000000 fe:01 13                 /a/dist/post.node (deleted)\n\
            7f60-7f70 r-xp 00000000 fe:01 14                 /dist/main.node\n\
            7f70-7f80 r-xp 00000000 fe:01 15                 /main.node\n\
            no line\n-\n7f80-\nffff\n";
        #[rustfmt::skip]
        let cases: [(&str, usize, Option<&str>); 9] = [
            ("first byte",                 0x7f20, Some("/w/_actions/a b/v1")),
            ("last byte",                  0x7f2f, Some("/w/_actions/a b/v1")),
            ("memory without a name",      0x7f30, None),
            ("memory of the kernel",       0x7f40, None),
            ("replaced meanwhile",         0x7f50, Some("/a")),
            ("an action at the root",      0x7f60, Some("")),
            ("nothing above the file",     0x7f70, None),
            ("nothing there",              0x7f80, None),
            ("another file",               0x0040_0000, Some("/usr")),
        ];
        for (why, address, want) in cases {
            let action = Action::of(maps, address);
            assert_eq!(action.map(|action| action.0), want.map(str::as_bytes), "{why}");
        }
    }

    #[test]
    fn the_program_is_beside_the_launcher_or_in_the_tool_cache() {
        let tool = |root: &str| {
            let dir = format!("{root}/runner-cache/{}/x64", env!("CARGO_PKG_VERSION"));
            Some((format!("{dir}/runner-cache"), format!("{dir}.complete")))
        };
        #[rustfmt::skip]
        let cases: [(&str, &[u8], _); 5] = [
            ("tool cache",            b"HOME=/h\0RUNNER_TOOL_CACHE=/w/_tool\0", tool("/w/_tool")),
            ("without tool cache",    b"HOME=/h\0",                             tool("/h/.cache/runner-cache/tool")),
            ("empty tool cache",      b"HOME=/h\0RUNNER_TOOL_CACHE=\0",         tool("/h/.cache/runner-cache/tool")),
            ("without anything",      b"PATH=/bin\0",                           None),
            ("nothing in it counts",  b"RUNNER_CACHE_ACTION_BIN=/evil\0",       None),
        ];
        for (why, bytes, want) in cases {
            let [beside, in_cache] = Action(b"/a").programs(&Environment::parse(bytes));
            let path = c"/a/dist/bin/runner-cache".to_owned();
            assert_eq!(beside, Some(Program { path, marker: None }), "{why}");
            let c_string = |text: String| CString::new(text).expect("no zero in it");
            let want = want.map(|(path, marker)| Program {
                path: c_string(path),
                marker: Some(c_string(marker)),
            });
            assert_eq!(in_cache, want, "{why}");
        }
    }

    #[test]
    fn an_installed_program_counts_only_with_its_marker() {
        let shipped = Program { path: c"/p".to_owned(), marker: None };
        let installed = Program { path: c"/p".to_owned(), marker: Some(c"/m".to_owned()) };
        #[rustfmt::skip]
        let cases: [(&str, &Program, &[&CStr], bool); 6] = [
            ("shipped",               &shipped,   &[c"/p"],        true),
            ("shipped, not there",    &shipped,   &[c"/m"],        false),
            ("installed",             &installed, &[c"/p", c"/m"], true),
            ("half there",            &installed, &[c"/p"],        false),
            ("thrown away",           &installed, &[c"/m"],        false),
            ("never there",           &installed, &[],             false),
        ];
        for (why, program, there, want) in cases {
            let found = program.if_there(|path| there.contains(&path));
            assert_eq!(found, want.then_some(c"/p"), "{why}");
        }
    }

    #[test]
    fn installer_and_variable_are_of_the_same_folder() {
        let action = Action(b"/w/a b");
        assert_eq!(action.installer().as_c_str(), c"/w/a b/dist/install.sh");
        assert_eq!(action.variable().as_c_str(), c"RUNNER_CACHE_ACTION_DIR=/w/a b");
    }
}
