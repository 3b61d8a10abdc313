//! Replays the inputs in `fuzz/corpus/`: seeds, and inputs with which a fuzzer once broke a promise.
//!
//! The fuzz targets are the functions that run here; `scripts/fuzz` looks for further inputs.

use std::collections::BTreeSet;
use std::error::Error;
use std::fs;
use std::panic::catch_unwind;
use std::path::{Path, PathBuf};

use fuzz::TARGETS;

#[expect(unreachable_pub, reason = "it is a crate of its own for the fuzzer")]
#[path = "../fuzz/src/lib.rs"]
mod fuzz;

type Result<T = ()> = std::result::Result<T, Box<dyn Error>>;

/// The memory that reading an input may add, in kB: twice DESIGN's limit for a crafted store, because freed memory
/// stays with the process for a while.
const MAX_GROWTH_KB: u64 = 128 << 10;

fn corpus() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus")
}

fn names_in(dir: &Path) -> Result<BTreeSet<String>> {
    let names =
        fs::read_dir(dir)?.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()));
    names.collect()
}

/// Returns the memory of the process now, and its peak since the last call, in kB.
fn memory_kb() -> Result<[u64; 2]> {
    let status = fs::read_to_string("/proc/self/status")?;
    let field = |name: &str| -> Result<u64> {
        let line = status.lines().find_map(|line| line.strip_prefix(name)).ok_or(name)?;
        Ok(line.trim().trim_end_matches(" kB").parse()?)
    };
    let both = [field("VmRSS:")?, field("VmHWM:")?];
    // Resets the peak to the current size: proc(5).
    fs::write("/proc/self/clear_refs", "5")?;
    Ok(both)
}

#[test]
fn every_input_keeps_every_promise_in_bounded_memory() -> Result {
    let mut wrong = Vec::new();
    for (target, run) in TARGETS {
        for name in names_in(&corpus().join(target))? {
            let input = fs::read(corpus().join(target).join(&name))?;
            let [before, _] = memory_kb()?;
            if catch_unwind(|| run(&input)).is_err() {
                // The memory of a panic does not matter: its backtrace is large.
                wrong.push(format!("{target}/{name} breaks a promise"));
                continue;
            }
            let [_, most] = memory_kb()?;
            if most.saturating_sub(before) > MAX_GROWTH_KB {
                wrong.push(format!("{target}/{name} takes {} kB", most - before));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    Ok(())
}

#[test]
fn every_target_has_a_corpus_and_a_program_and_no_other_is_there() -> Result {
    let targets: BTreeSet<_> = TARGETS.iter().map(|(name, _)| (*name).to_owned()).collect();
    assert_eq!(names_in(&corpus())?, targets);
    let programs = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/fuzz_targets");
    let of_programs = targets.iter().map(|name| format!("{name}.rs")).collect();
    assert_eq!(names_in(&programs)?, of_programs);
    let manifest = fs::read_to_string(corpus().with_file_name("Cargo.toml"))?;
    for name in &targets {
        assert!(names_in(&corpus().join(name))?.len() >= 10, "{name} has few inputs");
        assert!(manifest.contains(&format!("name = \"{name}\"")), "Cargo.toml lacks {name}");
    }
    Ok(())
}
