//! The stack machine of pickles: one step for each instruction.

use std::cell::Cell;
use std::collections::HashMap;
use std::sync::Arc;

use super::cursor::{Cursor, unescaped, unquoted};
use super::functions::Function;
use super::value::{Id, Node, Pickle};
use super::{MAX_BYTES, MAX_NODES, PickleError};

type Result<T> = std::result::Result<T, PickleError>;

/// Reads a pickle.
///
/// # Errors
/// [`PickleError`]: it is damaged, holds more than data, or is too large.
pub(in crate::import) fn load(bytes: &[u8]) -> Result<Pickle> {
    if bytes.len() as u64 > MAX_BYTES {
        return Err(PickleError::TooLarge(format!(
            "it has more than {} MiB",
            MAX_BYTES >> 20
        )));
    }
    let mut machine = Machine {
        cursor: Cursor::new(bytes),
        nodes: Vec::new(),
        stack: Vec::new(),
        marks: Vec::new(),
        memo: HashMap::new(),
        spent: Cell::new(0),
    };
    loop {
        if let Some(root) = machine.step()? {
            return Ok(Pickle {
                nodes: machine.nodes,
                root,
            });
        }
    }
}

/// The state of a pickle that is being read.
pub(super) struct Machine<'a> {
    pub(super) cursor: Cursor<'a>,
    nodes: Vec<Node>,
    stack: Vec<Id>,
    /// Heights of the stack at the marks.
    marks: Vec<usize>,
    memo: HashMap<u32, Id>,
    /// Bytes that were allocated beyond those of the file.
    spent: Cell<usize>,
}

impl Machine<'_> {
    /// Runs one instruction; returns the result at the last.
    fn step(&mut self) -> Result<Option<Id>> {
        match self.cursor.instruction()? {
            b'.' => return self.pop().map(Some),
            0x80 => {
                let protocol = self.cursor.byte()?;
                if protocol > 5 {
                    let what = format!("protocol {protocol} is not known");
                    return Err(self.cursor.damaged(what));
                }
            }
            0x95 => _ = self.cursor.array::<8>()?,
            b'(' => self.marks.push(self.stack.len()),
            b'0' => {
                // A mark can be popped too.
                if self.marks.last() == Some(&self.stack.len()) {
                    self.marks.pop();
                } else {
                    self.pop()?;
                }
            }
            b'1' => _ = self.pop_mark()?,
            b'2' => {
                let top = self.top()?;
                self.stack.push(top);
            }
            b'p' => {
                let place = self.cursor.parsed()?;
                self.remember(place)?;
            }
            b'q' => {
                let place = self.cursor.byte()?.into();
                self.remember(place)?;
            }
            b'r' => {
                let place = u32::from_le_bytes(self.cursor.array()?);
                self.remember(place)?;
            }
            0x94 => self.remember(self.memo.len() as u32)?,
            b'g' => {
                let place = self.cursor.parsed()?;
                self.recall(place)?;
            }
            b'h' => {
                let place = self.cursor.byte()?.into();
                self.recall(place)?;
            }
            b'j' => {
                let place = u32::from_le_bytes(self.cursor.array()?);
                self.recall(place)?;
            }
            b'a' => {
                let value = self.pop()?;
                self.append(&[value])?;
            }
            b'e' => {
                let values = self.pop_mark()?;
                self.append(&values)?;
            }
            b's' => {
                let value = self.pop()?;
                let key = self.pop()?;
                self.insert(&[key, value])?;
            }
            b'u' => {
                let entries = self.pop_mark()?;
                self.insert(&entries)?;
            }
            b'R' => {
                let arguments = self.pop()?;
                let function = self.pop()?;
                let (Node::Function(function), Node::Tuple(arguments)) =
                    (self.node(function), self.node(arguments))
                else {
                    let kind = self.node(function).kind();
                    return Err(PickleError::Refused(format!("it calls {kind}")));
                };
                let result = self.applied(*function, arguments)?;
                self.push(result)?;
            }
            b'b' => {
                let state = self.pop()?;
                let target = self.top()?;
                self.built(target, state)?;
            }
            code => {
                let node = self.value(code)?;
                self.push(node)?;
            }
        }
        Ok(None)
    }

    /// Returns the value of an instruction that pushes one.
    fn value(&mut self, code: u8) -> Result<Node> {
        Ok(match code {
            b'N' => Node::None,
            0x88 => Node::Bool(true),
            0x89 => Node::Bool(false),
            b'I' => match self.cursor.word()? {
                "00" => Node::Bool(false),
                "01" => Node::Bool(true),
                word => Node::Int(self.integer(word)?),
            },
            b'L' => {
                let word = self.cursor.word()?;
                Node::Int(self.integer(word.trim_end_matches('L'))?)
            }
            b'J' => Node::Int(i32::from_le_bytes(self.cursor.array()?).into()),
            b'K' => Node::Int(self.cursor.byte()?.into()),
            b'M' => Node::Int(u16::from_le_bytes(self.cursor.array()?).into()),
            0x8a => Node::Int(long(self.cursor.short()?)?),
            0x8b => Node::Int(long(self.cursor.long()?)?),
            b'F' => Node::Float(self.cursor.parsed()?),
            b'G' => Node::Float(f64::from_be_bytes(self.cursor.array()?)),
            b'S' => {
                let line = self.cursor.line()?;
                let text =
                    unquoted(line).ok_or_else(|| self.cursor.damaged("a text is not quoted"))?;
                Node::Bytes(text.into())
            }
            b'U' | b'C' => Node::Bytes(self.cursor.short()?.into()),
            b'T' | b'B' => Node::Bytes(self.cursor.long()?.into()),
            0x8e | 0x96 => Node::Bytes(self.cursor.huge()?.into()),
            b'V' => {
                let line = self.cursor.line()?;
                let text = unescaped(line)
                    .ok_or_else(|| self.cursor.damaged("a text has a wrong escape"))?;
                Node::Text(text.into())
            }
            0x8c => self.cursor.short().map(utf8)?,
            b'X' => self.cursor.long().map(utf8)?,
            0x8d => self.cursor.huge().map(utf8)?,
            b']' => Node::List(Vec::new()),
            b'l' => Node::List(self.pop_mark()?),
            b')' => Node::Tuple(Vec::new()),
            b't' => Node::Tuple(self.pop_mark()?),
            0x85 => Node::Tuple(self.pop_several(1)?),
            0x86 => Node::Tuple(self.pop_several(2)?),
            0x87 => Node::Tuple(self.pop_several(3)?),
            b'}' => Node::Dict(Vec::new()),
            b'd' => {
                let entries = self.pop_mark()?;
                Node::Dict(self.pairs(&entries)?)
            }
            b'c' => {
                let (module, name) = (self.cursor.word()?, self.cursor.word()?);
                Node::Function(Function::find(module, name)?)
            }
            0x93 => {
                let (name, module) = (self.pop()?, self.pop()?);
                let (Node::Text(module), Node::Text(name)) = (self.node(module), self.node(name))
                else {
                    return Err(self.cursor.damaged("the name of a function is not a text"));
                };
                Node::Function(Function::find(module, name)?)
            }
            _ => return Err(self.unknown(code)),
        })
    }

    /// Returns the error of an instruction that plain data does not need.
    fn unknown(&self, code: u8) -> PickleError {
        let what = match code {
            b'i' | b'o' | 0x81 | 0x92 => "it creates an object of a class",
            b'P' | b'Q' => "it refers to an object outside the file",
            0x82..=0x84 => "it names a function of Python's extension registry",
            0x8f..=0x91 => "it holds a set",
            0x97 | 0x98 => "it keeps its data outside the file",
            _ => {
                return self
                    .cursor
                    .damaged(format!("0x{code:02x} is not an instruction"));
            }
        };
        PickleError::Refused(what.into())
    }

    fn integer(&self, word: &str) -> Result<i64> {
        word.trim()
            .parse()
            .map_err(|_| self.cursor.damaged("an integer cannot be read"))
    }

    pub(super) fn node(&self, id: Id) -> &Node {
        &self.nodes[id as usize]
    }

    pub(super) fn set(&mut self, id: Id, node: Node) {
        self.nodes[id as usize] = node;
    }

    /// Counts bytes that are allocated although the file does not have them.
    pub(super) fn spend(&self, bytes: usize) -> Result<()> {
        self.spent.set(self.spent.get().saturating_add(bytes));
        if self.spent.get() as u64 > MAX_BYTES {
            return Err(PickleError::TooLarge("it repeats its byte strings".into()));
        }
        Ok(())
    }

    fn push(&mut self, node: Node) -> Result<()> {
        if self.nodes.len() >= MAX_NODES {
            return Err(PickleError::TooLarge(format!(
                "it has more than {MAX_NODES} values"
            )));
        }
        self.stack.push(self.nodes.len() as Id);
        self.nodes.push(node);
        Ok(())
    }

    /// Removes the top of the stack, but nothing below the last mark.
    fn pop(&mut self) -> Result<Id> {
        let floor = self.marks.last().copied().unwrap_or(0);
        if self.stack.len() <= floor {
            return Err(self.cursor.damaged("a value is missing"));
        }
        self.stack
            .pop()
            .ok_or_else(|| self.cursor.damaged("a value is missing"))
    }

    fn pop_several(&mut self, count: usize) -> Result<Vec<Id>> {
        let mut values: Vec<Id> = (0..count).map(|_| self.pop()).collect::<Result<_>>()?;
        values.reverse();
        Ok(values)
    }

    /// Removes everything above the last mark, and the mark.
    fn pop_mark(&mut self) -> Result<Vec<Id>> {
        let mark = self.marks.pop();
        let mark = mark.ok_or_else(|| self.cursor.damaged("a mark is missing"))?;
        Ok(self.stack.split_off(mark.min(self.stack.len())))
    }

    fn top(&self) -> Result<Id> {
        self.stack
            .last()
            .copied()
            .ok_or_else(|| self.cursor.damaged("a value is missing"))
    }

    fn remember(&mut self, place: u32) -> Result<()> {
        let top = self.top()?;
        self.memo.insert(place, top);
        Ok(())
    }

    fn recall(&mut self, place: u32) -> Result<()> {
        let id = self.memo.get(&place).copied();
        let id = id.ok_or_else(|| self.cursor.damaged("a value is used before it is there"))?;
        self.stack.push(id);
        Ok(())
    }

    fn append(&mut self, values: &[Id]) -> Result<()> {
        let list = self.top()?;
        match &mut self.nodes[list as usize] {
            Node::List(list) => list.extend_from_slice(values),
            other => {
                let what = format!("it appends to {}", other.kind());
                return Err(self.cursor.damaged(what));
            }
        }
        Ok(())
    }

    fn insert(&mut self, entries: &[Id]) -> Result<()> {
        let pairs = self.pairs(entries)?;
        let dict = self.top()?;
        match &mut self.nodes[dict as usize] {
            Node::Dict(dict) => dict.extend(pairs),
            other => {
                let what = format!("it sets a key of {}", other.kind());
                return Err(self.cursor.damaged(what));
            }
        }
        Ok(())
    }

    fn pairs(&self, entries: &[Id]) -> Result<Vec<(Id, Id)>> {
        let (pairs, rest) = entries.as_chunks::<2>();
        if !rest.is_empty() {
            return Err(self.cursor.damaged("a key has no value"));
        }
        Ok(pairs.iter().map(|[key, value]| (*key, *value)).collect())
    }
}

/// Returns a text. Python also writes lone surrogates, which nothing that is imported needs.
fn utf8(bytes: &[u8]) -> Node {
    let text: Arc<str> = String::from_utf8_lossy(bytes).into();
    Node::Text(text)
}

/// Reads an integer in two's complement, least significant byte first.
fn long(bytes: &[u8]) -> Result<i64> {
    let mut word = match bytes.last() {
        Some(last) if last & 0x80 != 0 => [0xff; 8],
        _ => [0; 8],
    };
    if bytes.len() > word.len() {
        return Err(PickleError::TooLarge(format!(
            "an integer has {} bits",
            8 * bytes.len()
        )));
    }
    word[..bytes.len()].copy_from_slice(bytes);
    Ok(i64::from_le_bytes(word))
}
