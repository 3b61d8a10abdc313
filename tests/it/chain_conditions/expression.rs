//! Expressions of workflows, as far as ours use them (docs.github.com, "Evaluate expressions in workflows").

use std::collections::BTreeMap;

use crate::support::Result;

/// What became of a job's needs, and what was asked for.
#[derive(Clone, Debug)]
pub(super) struct Situation {
    pub(super) results: BTreeMap<String, &'static str>,
    /// Whether somebody cancelled the run.
    pub(super) is_cancelled: bool,
    /// The value of every output: whether the event asks for what it decides on.
    pub(super) is_wanted: bool,
}

#[derive(Clone, Debug, PartialEq)]
enum Value {
    Null,
    Bool(bool),
    Text(String),
    List(Vec<String>),
    /// An object each of whose keys has this value.
    Object(Box<Value>),
}

impl Value {
    fn is_true(&self) -> bool {
        match self {
            Self::Null => false,
            Self::Bool(value) => *value,
            Self::Text(text) => !text.is_empty(),
            Self::List(_) | Self::Object(_) => true,
        }
    }
}

impl Situation {
    /// Tells whether a job with this `if` runs.
    pub(super) fn runs(&self, condition: Option<&str>) -> Result<bool> {
        const STATUS: [&str; 4] = ["always()", "cancelled()", "failure()", "success()"];
        let condition = condition.unwrap_or("true");
        let is_default = !STATUS.iter().any(|function| condition.contains(function));
        let is_let = !is_default || self.call("success", &[])?.is_true();
        Ok(is_let && self.evaluate(condition)?.is_true())
    }

    /// Returns the text of an expression.
    pub(super) fn value(&self, expression: &str) -> Result<String> {
        match self.evaluate(expression)? {
            Value::Text(text) => Ok(text),
            other => Err(format!("not a text: {other:?}").into()),
        }
    }

    fn evaluate(&self, expression: &str) -> Result<Value> {
        let expression = expression.trim();
        let inner = expression.strip_prefix("${{").and_then(|it| it.strip_suffix("}}"));
        let mut parser = Parser { rest: inner.unwrap_or(expression), situation: self };
        let value = parser.either()?;
        if parser.peek("") && parser.rest.is_empty() { Ok(value) } else { Err(parser.stuck()) }
    }

    fn call(&self, name: &str, arguments: &[Value]) -> Result<Value> {
        let any = |result: &str| self.results.values().any(|it| *it == result);
        let all_succeeded = self.results.values().all(|it| *it == "success");
        Ok(match (name, arguments) {
            ("always", []) => Value::Bool(true),
            ("cancelled", []) => Value::Bool(self.is_cancelled),
            ("failure", []) => Value::Bool(!self.is_cancelled && any("failure")),
            ("success", []) => Value::Bool(!self.is_cancelled && all_succeeded),
            ("contains", [Value::List(list), Value::Text(text)]) => {
                Value::Bool(list.contains(text))
            }
            ("fromJSON", [Value::Null]) => return Err("fromJSON of nothing".into()),
            ("fromJSON", [value]) => Value::Object(Box::new(value.clone())),
            _ => return Err(format!("unknown: {name}({arguments:?})").into()),
        })
    }

    fn look_up(&self, path: &str) -> Result<Value> {
        let parts: Vec<_> = path.split('.').collect();
        let asked = Value::Text(self.is_wanted.to_string());
        Ok(match parts[..] {
            ["true"] => Value::Bool(true),
            ["needs", "*", "result"] => {
                Value::List(self.results.values().map(ToString::to_string).collect())
            }
            ["needs", job, ..] if !self.results.contains_key(job) => {
                return Err(format!("`{job}` is not needed").into());
            }
            ["needs", job, "result"] => Value::Text(self.results[job].to_owned()),
            // A job that did not run has no outputs. Another one may have, even if it failed later.
            ["needs", job, "outputs", _] if self.results[job] == "skipped" => Value::Null,
            ["needs", _, "outputs", _] | ["inputs", _] => asked,
            _ => return Err(format!("unknown: {path}").into()),
        })
    }
}

/// The part of an expression that is still to be read.
struct Parser<'a> {
    rest: &'a str,
    situation: &'a Situation,
}

impl<'a> Parser<'a> {
    fn stuck(&self) -> Box<dyn std::error::Error> {
        format!("cannot read {:?}", self.rest).into()
    }

    /// Skips blanks, and `word` if it comes next.
    fn peek(&mut self, word: &str) -> bool {
        self.rest = self.rest.trim_start();
        match self.rest.strip_prefix(word) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    fn need(&mut self, word: &str) -> Result {
        if self.peek(word) { Ok(()) } else { Err(self.stuck()) }
    }

    // `||` and `&&` give one of their sides, as it is. An error in a side that does not count is none.
    fn either(&mut self) -> Result<Value> {
        let mut value = self.both();
        while self.peek("||") {
            let next = self.both();
            value = if value.as_ref().is_ok_and(Value::is_true) { value } else { value.and(next) };
        }
        value
    }

    fn both(&mut self) -> Result<Value> {
        let mut value = self.comparison();
        while self.peek("&&") {
            let next = self.comparison();
            value = if value.as_ref().is_ok_and(Value::is_true) { next } else { value };
        }
        value
    }

    fn comparison(&mut self) -> Result<Value> {
        let left = self.unary();
        for (operator, is_equal) in [("==", true), ("!=", false)] {
            if self.peek(operator) {
                let right = self.unary();
                return Ok(Value::Bool((left? == right?) == is_equal));
            }
        }
        left
    }

    fn unary(&mut self) -> Result<Value> {
        if self.peek("!") {
            return Ok(Value::Bool(!self.unary()?.is_true()));
        }
        if self.peek("(") {
            let value = self.either();
            self.need(")")?;
            return value;
        }
        if self.peek("'") {
            let (text, rest) = self.rest.split_once('\'').ok_or_else(|| self.stuck())?;
            self.rest = rest;
            return Ok(Value::Text(text.to_owned()));
        }
        let is_word = |c: char| c.is_ascii_alphanumeric() || "_-.*".contains(c);
        let end = self.rest.find(|c| !is_word(c)).unwrap_or(self.rest.len());
        let (word, rest): (&'a str, &'a str) = self.rest.split_at(end);
        if word.is_empty() {
            return Err(self.stuck());
        }
        self.rest = rest;
        if !self.peek("(") {
            return self.situation.look_up(word);
        }
        let mut arguments = Vec::new();
        while !self.peek(")") {
            arguments.push(self.either());
            self.peek(",");
        }
        let mut value = arguments
            .into_iter()
            .collect::<Result<Vec<_>>>()
            .and_then(|it| self.situation.call(word, &it));
        while self.peek("['") {
            let (_, rest) = self.rest.split_once("']").ok_or_else(|| self.stuck())?;
            self.rest = rest;
            value = match value? {
                Value::Object(value) => Ok(*value),
                other => Err(format!("no object: {other:?}").into()),
            };
        }
        value
    }
}
