//! The values of a pickle.

use std::sync::Arc;

use super::array::{Array, Dtype};
use super::functions::Function;

/// Index of a value in its [`Pickle`]. Values may share others, or contain themselves.
pub(super) type Id = u32;

/// A value.
#[derive(Debug, Clone)]
pub(super) enum Node {
    None,
    Bool(bool),
    Int(i64),
    Float(f64),
    Text(Arc<str>),
    Bytes(Arc<[u8]>),
    List(Vec<Id>),
    Tuple(Vec<Id>),
    Dict(Vec<(Id, Id)>),
    Array(Array),
    Dtype(Dtype),
    Function(Function),
}

impl Node {
    /// Returns what the value is, for messages.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::None => "None",
            Self::Bool(_) => "a bool",
            Self::Int(_) => "an int",
            Self::Float(_) => "a float",
            Self::Text(_) => "a text",
            Self::Bytes(_) => "bytes",
            Self::List(_) => "a list",
            Self::Tuple(_) => "a tuple",
            Self::Dict(_) => "a dict",
            Self::Array(_) => "a numpy array",
            Self::Dtype(_) => "a numpy dtype",
            Self::Function(_) => "a function",
        }
    }
}

/// The content of a pickle.
#[derive(Debug)]
pub(in crate::import) struct Pickle {
    pub(super) nodes: Vec<Node>,
    pub(super) root: Id,
}

/// A value of a pickle.
#[derive(Debug, Clone, Copy)]
pub(in crate::import) struct Value<'a> {
    pickle: &'a Pickle,
    id: Id,
}

impl Pickle {
    /// Returns the pickled value.
    pub(in crate::import) fn root(&self) -> Value<'_> {
        Value {
            pickle: self,
            id: self.root,
        }
    }
}

impl<'a> Value<'a> {
    fn node(self) -> &'a Node {
        &self.pickle.nodes[self.id as usize]
    }

    fn of(self, id: Id) -> Self {
        Self { id, ..self }
    }

    /// Returns what the value is, for messages.
    pub(in crate::import) fn kind(self) -> &'static str {
        self.node().kind()
    }

    /// Returns the value of a key; `None` if this is no dictionary or has no such key. Of several the last counts.
    pub(in crate::import) fn get(self, key: &str) -> Option<Self> {
        let Node::Dict(entries) = self.node() else {
            return None;
        };
        let found = entries
            .iter()
            .rev()
            .find(|(name, _)| self.of(*name).text().is_some_and(|name| name == key));
        found.map(|(_, value)| self.of(*value))
    }

    /// Returns whether this is a dictionary.
    pub(in crate::import) fn is_dict(self) -> bool {
        matches!(self.node(), Node::Dict(_))
    }

    /// Returns the elements of a list or a tuple.
    pub(in crate::import) fn list(self) -> Option<impl ExactSizeIterator<Item = Self>> {
        match self.node() {
            Node::List(ids) | Node::Tuple(ids) => Some(ids.iter().map(move |id| self.of(*id))),
            _ => None,
        }
    }

    /// Returns a text. Bytes are the texts of Python 2: UTF-8, else Latin-1.
    pub(in crate::import) fn text(self) -> Option<String> {
        match self.node() {
            Node::Text(text) => Some(text.to_string()),
            Node::Bytes(bytes) => Some(std::str::from_utf8(bytes).map_or_else(
                |_| bytes.iter().map(|byte| char::from(*byte)).collect(),
                ToOwned::to_owned,
            )),
            _ => None,
        }
    }

    /// Returns a number.
    pub(in crate::import) fn number(self) -> Option<f64> {
        match self.node() {
            Node::Bool(value) => Some(f64::from(u8::from(*value))),
            Node::Int(value) => Some(*value as f64),
            Node::Float(value) => Some(*value),
            Node::Array(array) if array.len() == 1 => Some(array.at(0)),
            _ => None,
        }
    }

    /// Returns a numpy array.
    pub(in crate::import) fn array(self) -> Option<&'a Array> {
        match self.node() {
            Node::Array(array) => Some(array),
            _ => None,
        }
    }
}
