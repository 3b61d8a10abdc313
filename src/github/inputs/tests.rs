use std::path::Path;
use std::time::Duration;

use super::*;
use crate::model::quantity::Percent;

type Result<T = ()> = std::result::Result<T, Box<dyn std::error::Error>>;

/// Returns an environment in which a runner passes on these inputs, named as in `action.yml`.
fn environment(inputs: &[(&str, &str)]) -> Environment {
    inputs.iter().fold(
        Environment::default().with("HOME", "/somewhere/ci"),
        |environment, (name, value)| {
            environment.with(&format!("INPUT_{}", name.to_uppercase()), *value)
        },
    )
}

fn parsed(inputs: &[(&str, &str)]) -> std::result::Result<Inputs, String> {
    Inputs::parse(&environment(inputs)).map_err(|error| error.to_string())
}

#[test]
fn a_missing_input_has_the_documented_default() -> Result {
    let defaults = [
        ("mode", "auto"),
        ("enabled", "true"),
        ("repo", "."),
        ("submodules", "false"),
        ("areas", "registry,git,target,dependencies"),
        ("leftovers", "set-aside"),
        ("save-if", "always"),
        ("lookup-only", "false"),
        ("fail-on-cache-miss", "false"),
        ("fail-on-error", "false"),
        ("retention", "cargo=5,target=3,min-age=1d"),
        ("generations", "3"),
        ("unit-saves", "3"),
        ("disk-threshold", "80%"),
        ("low-water", "70%"),
        ("compression-level", "-1"),
        ("hot-trees", "2"),
    ];
    let empty: Vec<_> = NAMES.iter().map(|name| (*name, " ")).collect();
    let want = Inputs {
        mode: ActionMode::Auto,
        enabled: true,
        repo: PathBuf::from("."),
        repository: None,
        dependencies: Vec::new(),
        dependency_refs: BTreeMap::new(),
        submodules: false,
        token: None,
        key: None,
        extra_inputs: Vec::new(),
        env_vars: Vec::new(),
        always_build: Vec::new(),
        job: None,
        matrix: None,
        areas: [
            AreaSelector::Registry,
            AreaSelector::Git,
            AreaSelector::Target,
            AreaSelector::Dependencies,
        ]
        .into(),
        cache_root: None,
        cargo_home: CargoHome::Usual,
        target_dir: None,
        scratch: None,
        targets: Vec::new(),
        leftovers: Leftovers::SetAside,
        save_if: SaveIf::Always,
        lookup_only: false,
        fail_on_cache_miss: false,
        fail_on_error: false,
        policy: Policy {
            shared_series: 5,
            target_series: 3,
            min_age: Duration::from_hours(24),
            generations: 3,
        },
        unit_saves: 3,
        pressure: Pressure {
            disk_threshold: Percent::try_from(80)?,
            low_water: Percent::try_from(70)?,
            min_free: None,
            max_size: None,
        },
        compression_level: Level::default(),
        hot_trees: 2,
        threads: None,
        job_status: None,
        warnings: Vec::new(),
    };
    assert_eq!(parsed(&[]).as_ref(), Ok(&want), "nothing given");
    assert_eq!(parsed(&defaults).as_ref(), Ok(&want), "defaults given");
    // An empty input names no pattern, so nothing is scratch.
    let keeps_scratch = Inputs { scratch: Some(Vec::new()), ..want };
    assert_eq!(parsed(&empty), Ok(keeps_scratch), "all empty");
    Ok(())
}

#[test]
fn every_input_is_read_into_its_own_field() -> Result {
    let hash = "0123456789abcdef0123456789abcdef01234567";
    let refs = format!(r#"{{"blvm-node":"{hash}"}}"#);
    let inputs = [
        ("mode", "restore"),
        ("enabled", "False"),
        ("repo", "checkouts/app"),
        ("repository", "o/app"),
        (
            "dependencies",
            "\n# beside the repo\nblvm-consensus, blvm-protocol=~/p\n\no/blvm-node@main=deps/n\n",
        ),
        ("dependency-refs", &refs),
        ("submodules", "recursive"),
        ("token", "ghs_x"),
        ("key", "abc"),
        ("extra-inputs", "proto/*.{proto,txt}\n  # none\nassets/a b"),
        ("env-vars", "BLVM_*, CI_KIND\nX Y"),
        ("always-build", "workspace, app"),
        ("job", "lint"),
        ("matrix", "null"),
        ("areas", "target, git"),
        ("cache-root", "~/cache"),
        ("cargo-home", "~"),
        ("target-dir", "/t/~"),
        ("scratch", "/tmp/*\n\n  # a note\n*.log\n"),
        ("targets", "fuzz/target\n# none\n~/a b\n"),
        ("leftovers", "keep"),
        ("save-if", "protected"),
        ("lookup-only", "TRUE"),
        ("fail-on-cache-miss", "True"),
        ("fail-on-error", "true"),
        ("retention", "cargo=1,target=2,min-age=90m"),
        ("generations", "4"),
        ("unit-saves", "5"),
        ("disk-threshold", "90"),
        ("low-water", "60 %"),
        ("min-free", "28 GB"),
        ("max-size", "200GiB"),
        ("compression-level", "19"),
        ("hot-trees", "0"),
        ("threads", "8"),
        ("job-status", "cancelled"),
    ];
    let unset: Vec<_> =
        NAMES.iter().filter(|name| !inputs.iter().any(|(it, _)| it == *name)).collect();
    assert_eq!(unset, [&"remote"], "inputs that this test leaves out");
    let want = Inputs {
        mode: ActionMode::Restore,
        enabled: false,
        repo: PathBuf::from("checkouts/app"),
        repository: Some("o/app".parse()?),
        dependencies: vec![
            Dependency { name: "blvm-consensus".parse()?, path: None, checkout: None },
            Dependency {
                name: "blvm-protocol".parse()?,
                path: Some(PathBuf::from("/somewhere/ci/p")),
                checkout: None,
            },
            Dependency {
                name: "blvm-node".parse()?,
                path: Some(PathBuf::from("deps/n")),
                checkout: Some(RepositoryAtRef {
                    repository: "o/blvm-node".parse()?,
                    git_ref: Some("main".parse()?),
                }),
            },
        ],
        dependency_refs: [("blvm-node".parse()?, hash.parse()?)].into(),
        submodules: true,
        token: Some("ghs_x".parse()?),
        key: Some("abc".parse()?),
        extra_inputs: vec!["proto/*.{proto,txt}".to_owned(), "assets/a b".to_owned()],
        env_vars: ["BLVM_*", "CI_KIND", "X", "Y"].map(str::to_owned).into(),
        always_build: vec![AlwaysBuild::Workspace, AlwaysBuild::Package("app".to_owned())],
        job: Some("lint".to_owned()),
        matrix: Some("null".to_owned()),
        areas: [AreaSelector::Git, AreaSelector::Target].into(),
        cache_root: Some(PathBuf::from("/somewhere/ci/cache")),
        cargo_home: CargoHome::At(PathBuf::from("/somewhere/ci")),
        target_dir: Some(PathBuf::from("/t/~")),
        scratch: Some(vec!["/tmp/*".to_owned(), "# a note".to_owned(), "*.log".to_owned()]),
        targets: ["fuzz/target", "/somewhere/ci/a b"].map(PathBuf::from).into(),
        leftovers: Leftovers::Keep,
        save_if: SaveIf::Protected,
        lookup_only: true,
        fail_on_cache_miss: true,
        fail_on_error: true,
        policy: Policy {
            shared_series: 1,
            target_series: 2,
            min_age: Duration::from_mins(90),
            generations: 4,
        },
        unit_saves: 5,
        pressure: Pressure {
            disk_threshold: Percent::try_from(90)?,
            low_water: Percent::try_from(60)?,
            min_free: Some(ByteSize(28_000_000_000)),
            max_size: Some(ByteSize(200 << 30)),
        },
        compression_level: "19".parse()?,
        hot_trees: 0,
        threads: NonZeroU16::new(8),
        job_status: Some(JobStatus::Cancelled),
        warnings: Vec::new(),
    };
    assert_eq!(parsed(&inputs), Ok(want));
    Ok(())
}

#[test]
fn a_wrong_input_is_named_with_its_value_and_what_is_accepted() {
    let name = "a name (1 to 200 of A-Z a-z 0-9 . _ -, not starting with `.`)";
    let long = "x".repeat(300);
    let cut = format!("input `key`: `{}…` is not {name}", "x".repeat(100));
    let twice = "input `dependencies`: `a` is not the only dependency of that name";
    let size = "a size (plain bytes, or a number and KiB, MiB, GiB, TiB, KB, MB, GB or TB)";
    let min_free = format!("input `min-free`: `much` is not {size}");
    let key = format!("input `key`: `a\\nb` is not {name}");
    let second = format!("input `dependencies`, line 2: `b c` is not {name}");
    #[rustfmt::skip]
    let cases = [
        ("mode", "restorex", "input `mode`: `restorex` is not one of `auto`, `key`, `restore`, `save`, `gc`; did you mean `restore`?"),
        ("mode", "all", "input `mode`: `all` is not one of `auto`, `key`, `restore`, `save`, `gc`"),
        ("enabled", "yes", "input `enabled`: `yes` is not one of `true`, `false`"),
        ("enabled", "tRue", "input `enabled`: `tRue` is not one of `true`, `false`; did you mean `true`?"),
        ("submodules", "recurse", "input `submodules`: `recurse` is not one of `true`, `false`, `recursive`; did you mean `recursive`?"),
        ("save-if", "successx", "input `save-if`: `successx` is not one of `always`, `success`, `protected`, `never`, `true`, `false`; did you mean `success`?"),
        ("areas", "git, targets", "input `areas`: `targets` is not one of `registry`, `git`, `target`, `dependencies`; did you mean `target`?"),
        ("key", "a\nb", &key),
        ("key", &long, &cut),
        ("dependencies", "a\nb c", &second),
        ("dependencies", "a, o/a@main", twice),
        ("dependencies", "a=~other/x", "input `dependencies`: `~other/x` is not a path (`~` stands only for the own home)"),
        ("dependency-refs", "[]", "input `dependency-refs`: `[]` is not a JSON object of names and commit hashes (the output `dependency-refs`)"),
        ("dependency-refs", r#"{"a":"main"}"#, r#"input `dependency-refs`: `{"a":"main"}` is not a JSON object of names and commit hashes (the output `dependency-refs`)"#),
        ("token", "se cret", "input `token`: `***` is not a token (visible ASCII without blanks)"),
        ("env-vars", "*", "input `env-vars`: `*` is not the name of a variable (`NAME`, or `PREFIX_*` for several)"),
        ("env-vars", "A\nB-C", "input `env-vars`, line 2: `B-C` is not the name of a variable (`NAME`, or `PREFIX_*` for several)"),
        ("job", &long, &format!("input `job`: `{}…` is not a kind of job (one line of 200 bytes at most)", "x".repeat(100))),
        ("retention", "cargo=5,targets=3", "input `retention`: `targets=3` is not a part of a retention (cargo=<count>, target=<count> or min-age=<duration>)"),
        ("generations", "0", "input `generations`: `0` is not a whole number from 1 to 65535"),
        ("unit-saves", "+3", "input `unit-saves`: `+3` is not a whole number from 1 to 65535"),
        ("compression-level", "20", "input `compression-level`: `20` is not a zstd level (1 to 19, or -1 to -7 for the quickest)"),
        ("threads", "99999999999999999999", "input `threads`: `99999999999999999999` is not a whole number from 0 to 1024"),
        ("disk-threshold", "eighty", "input `disk-threshold`: `eighty` is not a percentage (0% to 100%)"),
        ("min-free", "much", &min_free),
        ("cache-root", "a\u{1b}b", "input `cache-root`: `a\\u{1b}b` is not a path (without control characters)"),
        ("remote", "s3://b/p", "input `remote`: `s3://b/p` is not supported: this version keeps one host's store (leave it empty)"),
    ];
    for (input, value, want) in cases {
        assert_eq!(parsed(&[(input, value)]).err().as_deref(), Some(want), "{input}: {value}");
    }
}

#[test]
fn everything_that_is_wrong_is_said_at_once() {
    let wrong = parsed(&[("mode", "x"), ("threads", "y"), ("areas", "z\ngit\nw")]);
    let error = wrong.err().unwrap_or_default();
    let lines: Vec<_> =
        error.lines().map(|line| line.split(": ").next().unwrap_or_default()).collect();
    assert_eq!(
        lines,
        ["input `areas`, line 1", "input `areas`, line 3", "input `mode`", "input `threads`"]
    );
}

#[test]
fn a_name_is_found_however_the_shell_between_left_it() {
    let with = |name: &str, value: &str| Environment::default().with(name, value);
    let root = |environment: &Environment| Inputs::parse(environment).ok()?.cache_root;
    assert_eq!(root(&with("INPUT_CACHE-ROOT", "/a")).as_deref(), Some(Path::new("/a")));
    assert_eq!(root(&with("INPUT_CACHE_ROOT", "/a")).as_deref(), Some(Path::new("/a")));
    let both = with("INPUT_CACHE-ROOT", "/a").with("INPUT_CACHE_ROOT", "/b");
    assert_eq!(root(&both).as_deref(), Some(Path::new("/a")));
}

#[test]
fn an_input_that_does_not_exist_is_a_warning() -> Result {
    let environment = Environment::default()
        .with("INPUT_DEPENDENCY", "a")
        .with("INPUT_CACHE-DIRECTORY", "b")
        .with("INPUT_A\nB", "c")
        .with("INPUT_CACHE_ROOT", "/d");
    let want = [
        "unknown input `a\\nb`",
        "unknown input `cache-directory`",
        "unknown input `dependency`; did you mean `dependencies`?",
    ];
    assert_eq!(Inputs::parse(&environment)?.warnings, want);
    Ok(())
}

#[test]
fn a_status_of_another_runner_is_no_reason_to_fail() {
    assert_eq!(parsed(&[("job-status", "skipped")]).map(|inputs| inputs.job_status), Ok(None));
}

#[test]
fn an_input_that_is_not_utf8_is_named() {
    use std::os::unix::ffi::OsStringExt as _;
    let value = std::ffi::OsString::from_vec(b"a\xff".to_vec());
    let error = Inputs::parse(&Environment::default().with("INPUT_REPO", value));
    let want = "input `repo`: `a\u{fffd}` is not UTF-8 text";
    assert_eq!(error.map_err(|error| error.to_string()).err().as_deref(), Some(want));
}
