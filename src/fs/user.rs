//! Users, and the names that people know them by.

use std::path::Path;

use super::regular::read_to_string;

/// Returns the effective user id of this process.
pub fn user_id() -> u32 {
    rustix::process::geteuid().as_raw()
}

/// Names a user in a message: `uid 1234 (alice)`. A user that is not in `/etc/passwd`, for instance of a directory
/// service, has no name here.
pub fn shown_user(uid: u32) -> String {
    let passwd = read_to_string(Path::new("/etc/passwd")).unwrap_or_default();
    match name_in(&passwd, uid) {
        Some(name) => format!("uid {uid} ({name})"),
        None => format!("uid {uid}"),
    }
}

/// Returns the name of a user in the text of `/etc/passwd`: `passwd(5)`.
fn name_in(passwd: &str, uid: u32) -> Option<&str> {
    let user = |line: &'_ str| {
        let mut fields = line.split(':');
        let (name, id) = (fields.next()?, fields.nth(1)?);
        (id.parse() == Ok(uid)).then_some(name.len())
    };
    let (line, len) = passwd.lines().find_map(|line| Some((line, user(line)?)))?;
    line.get(..len).filter(|name| !name.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_is_named_as_the_password_file_has_it() {
        let passwd = "root:x:0:0:root:/root:/bin/sh\n\n# comment\n+:::\n:x:7:7::/:\nalice:x:1234:100::/srv/alice:\nbob:x:1234:1::/:\n";
        let cases = [(0, Some("root")), (1234, Some("alice")), (7, None), (100, None), (99, None)];
        for (uid, want) in cases {
            assert_eq!(name_in(passwd, uid), want, "{uid}");
        }
        assert_eq!(shown_user(0), "uid 0 (root)");
        assert_eq!(shown_user(u32::MAX - 7), "uid 4294967288");
    }
}
