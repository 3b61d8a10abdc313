//! Stores written by released versions: each is opened, found whole and restored.
//!
//! Never edit `tests/fixtures/stores/<version>/`. A version that changes bytes on disk adds a store, and a row here.
//! They hold every kind of entry there is.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use serde_json::json;

use crate::support::{Host, Result, link, list, paths, write};

/// The files that each store holds in `target/` and `src/made.rs` of the repo `ci/app` under the key `fixture`.
const STORES: &[(&str, &[&str])] = &[
    (
        "v1",
        &[
            r#"src/made.rs -00644 1709210096.123456789 26 B "// made by a build s" data in [(0, 26)]"#,
            r#"target/debug d00755 1709210096.123456789 0 B "" data in []"#,
            r#"target/debug/.cargo-lock -00644 1709210096.123456789 0 B "" data in []"#,
            r#"target/debug/app -00755 1709210096.123456789 9 B "a program" data in [(0, 9)] linked to "target/debug/app""#,
            r#"target/debug/app.d -00644 1709210096.123456789 42 B "target/debug/app: sr" data in [(0, 42)]"#,
            r#"target/debug/deps d00755 1709210096.123456789 0 B "" data in []"#,
            r#"target/debug/deps/app-0123 -00755 1709210096.123456789 9 B "a program" data in [(0, 9)] linked to "target/debug/app""#,
            r#"target/debug/deps/libapp-0123.rlib -00644 1709210096.123456789 7 B "an rlib" data in [(0, 7)]"#,
            r#"target/debug/empty d00750 1709210096.123456789 0 B "" data in []"#,
            r#"target/debug/link l00777 1709210096.123456789 21 B "deps/libapp-0123.rli" data in []"#,
            "target/debug/name-\u{fffd} -00644 1709210096.123456789 9 B \"not UTF-8\" data in [(0, 9)]",
            r#"target/debug/sparse -00644 1709210096.123456789 1048576 B "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0" data in [(1044480, 4096)]"#,
        ],
    ),
    // With a session that a later generation distrusts.
    (
        "v1-distrusted",
        &[
            r#"target/debug d00755 1795700000.123456789 0 B "" data in []"#,
            r#"target/debug/.cargo-lock -00644 1795700000.123456789 0 B "" data in []"#,
            r#"target/debug/deps d00755 1795700000.123456789 0 B "" data in []"#,
            r#"target/debug/deps/app-0123 -00755 1795700000.123456789 9 B "a program" data in [(0, 9)]"#,
            r#"target/debug/incremental d00755 1795700000.123456789 0 B "" data in []"#,
            r#"target/debug/incremental/app-3v8ck971o9lt3 d00755 1795700000.123456789 0 B "" data in []"#,
        ],
    ),
    // With an executable source.
    (
        "v1-executable",
        &[
            r#"target/debug d00755 1795885000.123456789 0 B "" data in []"#,
            r#"target/debug/.cargo-lock -00644 1795885000.123456789 0 B "" data in []"#,
            r#"target/debug/deps d00755 1795885000.123456789 0 B "" data in []"#,
            r#"target/debug/deps/app-0123 -00755 1795885000.123456789 9 B "a program" data in [(0, 9)]"#,
        ],
    ),
    // With a mark of each profile of the workspace, one of them custom.
    (
        "v1-profiles",
        &[
            r#"target/debug d00755 1795889528.498696936 0 B "" data in []"#,
            r#"target/debug/.cargo-lock -00644 1795889528.498696936 0 B "" data in []"#,
            r#"target/debug/.fingerprint d00755 1795889528.498696936 0 B "" data in []"#,
            r#"target/debug/.fingerprint/app-2419366a81180c29 d00755 1795889528.534696938 0 B "" data in []"#,
            r#"target/debug/.fingerprint/app-2419366a81180c29/dep-lib-app -00644 1795889528.498696936 30 B "\u{1}\0\0\0�\u{1}\u{1}\0\0\0\0\n\0\0\0src/l" data in [(0, 30)]"#,
            r#"target/debug/.fingerprint/app-2419366a81180c29/invoked.timestamp -00644 1795889528.498696936 48 B "This file has an mti" data in [(0, 48)]"#,
            r#"target/debug/.fingerprint/app-2419366a81180c29/lib-app -00644 1795889528.534696938 16 B "addbc5867c4abd04" data in [(0, 16)]"#,
            r#"target/debug/.fingerprint/app-2419366a81180c29/lib-app.json -00644 1795889528.534696938 339 B "{\"rustc\":74586726007" data in [(0, 339)]"#,
            r#"target/debug/build d00755 1795889528.498696936 0 B "" data in []"#,
            r#"target/debug/deps d00755 1795889528.529173888 0 B "" data in []"#,
            r#"target/debug/deps/app-2419366a81180c29.d -00644 1795889528.522696937 151 B "/srv/ci/app/target/d" data in [(0, 151)]"#,
            r#"target/debug/deps/libapp-2419366a81180c29.rmeta -00644 1795889528.498696936 2079 B "rust\0\0\0\n�\u{6}\0\0\0\0\0\0#rus" data in [(0, 2079)]"#,
            r#"target/debug/examples d00755 1795889528.498696936 0 B "" data in []"#,
            r#"target/debug/incremental d00755 1795889528.498696936 0 B "" data in []"#,
        ],
    ),
    // With a sketch of its units, in the build directory of cargo 1.100.
    (
        "v1-sketch",
        &[
            r#"target/debug d00755 1795882352.298364265 0 B "" data in []"#,
            r#"target/debug/.cargo-build-lock -00644 1795882352.298364265 0 B "" data in []"#,
            r#"target/debug/.cargo-lock -00644 1795882352.298364265 0 B "" data in []"#,
            r#"target/debug/build d00755 1795882352.298364265 0 B "" data in []"#,
            r#"target/debug/build/app d00755 1795882352.298364265 0 B "" data in []"#,
            r#"target/debug/build/app/3a7b14d5efbece03 d00755 1795882352.314364265 0 B "" data in []"#,
            r#"target/debug/build/app/3a7b14d5efbece03/fingerprint d00755 1795882353.906364339 0 B "" data in []"#,
            r#"target/debug/build/app/3a7b14d5efbece03/fingerprint/build-script-build-script-build -00644 1795882353.906364339 16 B "823e546e1cca59ab" data in [(0, 16)]"#,
            r#"target/debug/build/app/3a7b14d5efbece03/fingerprint/build-script-build-script-build.json -00644 1795882353.906364339 374 B "{\"rustc\":17564479594" data in [(0, 374)]"#,
            r#"target/debug/build/app/3a7b14d5efbece03/fingerprint/dep-build-script-build-script-build -00644 1795882352.314364265 28 B "\u{1}\0\0\0�\u{1}\u{1}\0\0\0\0\u{8}\0\0\0build" data in [(0, 28)]"#,
            r#"target/debug/build/app/3a7b14d5efbece03/fingerprint/invoked.timestamp -00644 1795882352.314364265 48 B "This file has an mti" data in [(0, 48)]"#,
            r#"target/debug/build/app/3a7b14d5efbece03/fingerprint/output-build-script-build-script-build -00644 1795882352.898364292 85 B "{\"$message_type\":\"un" data in [(0, 85)]"#,
            r#"target/debug/build/app/3a7b14d5efbece03/out d00755 1795882353.826364335 0 B "" data in []"#,
            r#"target/debug/build/app/3a7b14d5efbece03/out/build_script_build -00755 1795882353.814364335 337520 B "\u{7f}ELF\u{2}\u{1}\u{1}\0\0\0\0\0\0\0\0\0\u{3}\0>\0" data in [(0, 337520)]"#,
            r#"target/debug/build/app/3a7b14d5efbece03/out/build_script_build.d -00644 1795882352.871698589 184 B "/srv/ci/app/target/d" data in [(0, 184)]"#,
            r#"target/debug/build/app/9e13f606276d2986 d00755 1795882352.298364265 0 B "" data in []"#,
            r#"target/debug/build/app/9e13f606276d2986/fingerprint d00755 1795882353.982364343 0 B "" data in []"#,
            r#"target/debug/build/app/9e13f606276d2986/fingerprint/dep-lib-app -00644 1795882353.914364340 30 B "\u{1}\0\0\0�\u{1}\u{1}\0\0\0\0\n\0\0\0src/l" data in [(0, 30)]"#,
            r#"target/debug/build/app/9e13f606276d2986/fingerprint/invoked.timestamp -00644 1795882353.914364340 48 B "This file has an mti" data in [(0, 48)]"#,
            r#"target/debug/build/app/9e13f606276d2986/fingerprint/lib-app -00644 1795882353.982364343 16 B "145d0257cb3d4b62" data in [(0, 16)]"#,
            r#"target/debug/build/app/9e13f606276d2986/fingerprint/lib-app.json -00644 1795882353.982364343 418 B "{\"rustc\":17564479594" data in [(0, 418)]"#,
            r#"target/debug/build/app/9e13f606276d2986/fingerprint/output-lib-app -00644 1795882353.966364342 85 B "{\"$message_type\":\"un" data in [(0, 85)]"#,
            r#"target/debug/build/app/9e13f606276d2986/out d00755 1795882353.970364342 0 B "" data in []"#,
            r#"target/debug/build/app/9e13f606276d2986/out/app-9e13f606276d2986.d -00644 1795882353.962364342 203 B "/srv/ci/app/target/d" data in [(0, 203)]"#,
            r#"target/debug/build/app/9e13f606276d2986/out/libapp-9e13f606276d2986.rmeta -00644 1795882353.914364340 2091 B "rust\0\0\0\u{b}A\u{5}\0\0\0\0\0\0�\u{6}\0\0" data in [(0, 2091)]"#,
            r#"target/debug/incremental d00755 1795882352.298364265 0 B "" data in []"#,
        ],
    ),
    // With the system that built it.
    (
        "v1-system",
        &[
            r#"target/debug d00755 1795700000.123456789 0 B "" data in []"#,
            r#"target/debug/.cargo-lock -00644 1795700000.123456789 0 B "" data in []"#,
            r#"target/debug/deps d00755 1795700000.123456789 0 B "" data in []"#,
            r#"target/debug/deps/app-0123 -00755 1795700000.123456789 9 B "a program" data in [(0, 9)]"#,
        ],
    ),
    // With units, one of them bound to its path, their graph, the home of cargo, and marked as partial.
    (
        "v1-units",
        &[
            r#"target/debug d00755 1795678482.790484857 0 B "" data in []"#,
            r#"target/debug/.cargo-lock -00644 1795678482.454484842 0 B "" data in []"#,
            r#"target/debug/.fingerprint d00755 1795678482.454484842 0 B "" data in []"#,
            r#"target/debug/.fingerprint/app-d7b7c6f08e7fa8d2 d00755 1795678482.790484857 0 B "" data in []"#,
            r#"target/debug/.fingerprint/app-d7b7c6f08e7fa8d2/dep-lib-app -00644 1795678482.488098407 43 B "\u{1}\0\0\0�\u{1}\u{1}\0\0\0\0\n\0\0\0src/l" data in [(0, 43)]"#,
            r#"target/debug/.fingerprint/app-d7b7c6f08e7fa8d2/invoked.timestamp -00644 1795678482.488098407 48 B "This file has an mti" data in [(0, 48)]"#,
            r#"target/debug/.fingerprint/app-d7b7c6f08e7fa8d2/lib-app -00644 1795678482.790484857 16 B "ef4354279d11fb15" data in [(0, 16)]"#,
            r#"target/debug/.fingerprint/app-d7b7c6f08e7fa8d2/lib-app.json -00644 1795678482.790484857 393 B "{\"rustc\":74586726007" data in [(0, 393)]"#,
            r#"target/debug/build d00755 1795678482.454484842 0 B "" data in []"#,
            r#"target/debug/deps d00755 1795678482.789991897 0 B "" data in []"#,
            r#"target/debug/deps/app-d7b7c6f08e7fa8d2.d -00644 1795678482.586484848 243 B "/srv/ci/app/target/d" data in [(0, 243)]"#,
            r#"target/debug/deps/libapp-d7b7c6f08e7fa8d2.rlib -00644 1795678482.789094494 3128 B "!<arch>\n/           " data in [(0, 3128)]"#,
            r#"target/debug/deps/libapp-d7b7c6f08e7fa8d2.rmeta -00644 1795678482.647649843 1625 B "rust\0\0\0\n�\u{4}\0\0\0\0\0\0#rus" data in [(0, 1625)]"#,
            r#"target/debug/examples d00755 1795678482.454484842 0 B "" data in []"#,
            r#"target/debug/incremental d00755 1795678482.454484842 0 B "" data in []"#,
            r#"target/debug/libapp.d -00644 1795678482.790484857 125 B "/srv/ci/app/target/d" data in [(0, 125)]"#,
            r#"target/debug/libapp.rlib -00644 1795678482.789094494 3128 B "!<arch>\n/           " data in [(0, 3128)] linked to "target/debug/deps/libapp-d7b7c6f08e7fa8d2.rlib""#,
        ],
    ),
    // With a vouched registry.
    (
        "v1-vouched",
        &[
            r#"target/debug d00755 1795700000.123456789 0 B "" data in []"#,
            r#"target/debug/.cargo-lock -00644 1795700000.123456789 0 B "" data in []"#,
            r#"target/debug/deps d00755 1795700000.123456789 0 B "" data in []"#,
            r#"target/debug/deps/app-0123 -00755 1795700000.123456789 9 B "a program" data in [(0, 9)]"#,
        ],
    ),
];

#[test]
fn every_store_of_a_released_version_comes_back_as_it_was() -> Result {
    for (version, want) in STORES {
        let host = Host::new()?;
        copy(&fixtures().join(version), &host.root())?;
        write(&host.repo(), ".gitignore", "target\n/src/made.rs\n")?;
        link(&host.repo(), "src/link.rs", "main.rs")?;

        assert_eq!(host.verify()?, [""; 0], "{version}");
        let args = ["--repository", "ci/app", "--key", "fixture", "--job", "test"];
        let outcome = host.restore_with(&args)?.done()?;
        assert_eq!(outcome.report["hit"], json!("exact"), "{version}");
        assert_eq!(outcome.areas(), ["registry unpack exact", "target unpack exact"], "{version}");

        let mut got = Vec::new();
        for (path, node) in list(&host.repo())? {
            if path.starts_with("target/debug") || path.ends_with("made.rs") {
                let line = format!("{} {node:?}", path.display());
                // A file with a single name is shown as linked to itself.
                let alone = format!(" linked to {path:?}");
                let of_group = path.ends_with("debug/app");
                got.push(if of_group { line } else { line.replace(&alone, "") });
            }
        }
        assert_eq!(got, *want, "{version}");
    }
    Ok(())
}

#[test]
fn every_store_of_a_released_version_is_in_the_list() -> Result {
    let mut found = Vec::new();
    for entry in fs::read_dir(fixtures())? {
        found.push(entry?.file_name().to_string_lossy().into_owned());
    }
    found.sort();
    let listed: Vec<_> = STORES.iter().map(|(version, _)| *version).collect();
    assert_eq!(found, listed);
    Ok(())
}

fn fixtures() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/stores")
}

/// Copies files and directories into a directory that only we may access, because git keeps neither modes nor empty
/// directories.
fn copy(from: &Path, to: &Path) -> Result {
    fs::create_dir_all(to)?;
    fs::set_permissions(to, fs::Permissions::from_mode(0o700))?;
    for path in paths(from)? {
        let dest = to.join(path.strip_prefix(from)?);
        if path.is_dir() {
            fs::create_dir_all(dest)?;
        } else {
            fs::copy(&path, dest)?;
        }
    }
    Ok(())
}
