//! The program talks to GitHub over TLS, and accepts only a certificate that the host trusts.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::json;

use super::github::GitHub;
use super::world::sha_of;
use crate::support::{PROGRAM, Result, succeed, write};

/// Creates a certificate for this machine by `name`, and its key.
fn certificate(dir: &Path, name: &str) -> Result<[PathBuf; 2]> {
    const CONFIGURATION: &str = "[req]\nprompt = no\ndistinguished_name = name\nx509_extensions = extensions\n\
        [name]\nCN = test\n[extensions]\nsubjectAltName = IP:127.0.0.1\n";
    write(dir, "openssl.cnf", CONFIGURATION)?;
    let [cert, key] = ["cert", "key"].map(|what| dir.join(format!("{name}-{what}.pem")));
    let mut openssl = Command::new("openssl");
    openssl.args(["req", "-x509", "-nodes", "-days", "2", "-newkey", "ec"]);
    openssl
        .args(["-pkeyopt", "ec_paramgen_curve:prime256v1", "-config"])
        .arg(dir.join("openssl.cnf"));
    openssl.arg("-out").arg(&cert).arg("-keyout").arg(&key);
    succeed(&mut openssl)?;
    Ok([cert, key])
}

#[test]
fn a_server_is_believed_with_a_certificate_that_the_host_trusts_and_no_other() -> Result {
    let dir = tempfile::tempdir()?;
    let [cert, key] = certificate(dir.path(), "this")?;
    let [other, _] = certificate(dir.path(), "other")?;
    write(dir.path(), "chain.toml", "owner = 'o'\n[repos.lib]\nkind = 'library'\n")?;
    let github = GitHub::start(
        dir.path(),
        &json!({
            "tls": {"cert": cert, "key": key},
            "repos": {"o/lib": {"refs": {"heads/main": sha_of("lib")}}},
        }),
    )?;
    let resolve = |trusted: &Path| {
        let mut command = Command::new(PROGRAM);
        command.args(["chain", "resolve", "--json", "--patience", "0"]).current_dir(dir.path());
        command.env_clear().env("GITHUB_API_URL", github.url()).env("SSL_CERT_FILE", trusted);
        command.output()
    };
    let trusted = resolve(&cert)?;
    let said = String::from_utf8(trusted.stderr)?;
    assert_eq!((trusted.status.code(), said), (Some(0), format!("lib at {}\n", sha_of("lib"))));
    let untrusted = resolve(&other)?;
    let said = String::from_utf8(untrusted.stderr)?;
    assert_eq!(untrusted.status.code(), Some(1), "{said}");
    assert!(said.contains("invalid peer certificate"), "{said}");
    Ok(())
}
