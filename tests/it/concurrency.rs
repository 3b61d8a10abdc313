//! Many at once: nobody loses, mixes up or sees half of anything.

use std::fs;
use std::path::Path;

use crate::support::*;

#[test]
fn areas_that_are_saved_at_once_never_mix() -> Result {
    let host = Host::new()?;
    lock(&host.repo(), "app", &["foo-1.0.0"])?;
    install_crate(&host.cargo_home(), "foo-1.0.0")?;
    let names = ["a", "b", "c", "d", "e", "f"];
    let mut args = Vec::new();
    for name in names {
        host.check_out(name, name, &[])?;
        args.extend(["--dependency", name]);
    }
    for round in 0..10 {
        write(&host.target(), "of", format!("app {round}"))?;
        for name in names {
            write(&host.path(name), "target/of", format!("{name} {round}"))?;
        }
        let saved = host.save_with(&args)?.done()?;
        let areas = saved.areas();
        let published = areas.iter().filter(|area| area.ends_with("-target published miss"));
        assert_eq!(published.count(), names.len(), "{round}: {}", saved.stderr);
        for dir in ["repo"].iter().chain(&names) {
            fs::remove_dir_all(host.path(dir).join("target"))?;
        }
        host.restore_with(&args)?.done()?;
        assert_eq!(fs::read_to_string(host.target().join("of"))?, format!("app {round}"));
        for name in names {
            let of = fs::read_to_string(host.path(name).join("target/of"))?;
            assert_eq!(of, format!("{name} {round}"));
        }
    }
    assert_eq!(host.leftovers()?, [] as [&Path; 0]);
    Ok(())
}
