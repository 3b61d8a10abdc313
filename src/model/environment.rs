//! The environment of a job, as a value.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fmt;

/// The variables of a job's environment.
///
/// `Debug` shows their names only: a job's environment holds tokens.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Environment(BTreeMap<OsString, OsString>);

impl Environment {
    /// Returns the value of `name`; an empty value counts as unset.
    ///
    /// Workflows export empty variables by mistake (`CC=`), and cargo itself takes most of them as
    /// unset or refuses to run.
    pub fn get(&self, name: &str) -> Option<&OsStr> {
        self.0.get(OsStr::new(name)).map(OsString::as_os_str).filter(|value| !value.is_empty())
    }

    /// Returns every variable, including empty ones, for a child program.
    pub fn iter(&self) -> impl Iterator<Item = (&OsStr, &OsStr)> {
        self.0.iter().map(|(name, value)| (name.as_os_str(), value.as_os_str()))
    }

    /// Returns this environment with `name` set to `value`.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<OsString>) -> Self {
        self.0.insert(name.into(), value.into());
        self
    }

    /// Returns this environment without `name`.
    #[must_use]
    pub fn without(mut self, name: &str) -> Self {
        self.0.remove(OsStr::new(name));
        self
    }
}

impl FromIterator<(OsString, OsString)> for Environment {
    fn from_iter<I: IntoIterator<Item = (OsString, OsString)>>(variables: I) -> Self {
        Self(variables.into_iter().collect())
    }
}

impl fmt::Debug for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_variable_is_as_good_as_unset_but_children_see_it() {
        let environment = Environment::default().with("CC", "").with("LANG", "C");
        assert_eq!(environment.get("CC"), None);
        assert_eq!(environment.get("LANG"), Some(OsStr::new("C")));
        assert_eq!(environment.get("UNSET"), None);
        let names: Vec<_> = environment.iter().map(|(name, _)| name).collect();
        assert_eq!(names, ["CC", "LANG"]);
        assert_eq!(environment.without("CC"), Environment::default().with("LANG", "C"));
    }

    #[test]
    fn an_environment_never_shows_its_values() {
        let shown = Environment::default().with("CARGO_REGISTRY_TOKEN", "hunter2");
        assert_eq!(format!("{shown:?}"), r#"{"CARGO_REGISTRY_TOKEN"}"#);
    }
}
