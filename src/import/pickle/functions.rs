//! The functions and types that numpy's pickles name. None is called; their results are built here.

use std::sync::Arc;

use super::PickleError;
use super::array::{Array, Dtype, MAX_DIMENSIONS, Number};
use super::machine::Machine;
use super::value::{Id, Node};

/// Number of arguments, and of parts of a state, that are looked at; no function here has more.
const MAX_ARGUMENTS: usize = 9;

/// A function or type that may occur in a pickle.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Function {
    /// `numpy.core.multiarray._reconstruct`: an array, whose content follows.
    Reconstruct,
    /// `numpy.core.numeric._frombuffer`: an array (protocol 5).
    FromBuffer,
    /// `numpy.core.multiarray.scalar`: a number.
    Scalar,
    /// The type `numpy.ndarray`.
    NdArray,
    /// The type `numpy.dtype`.
    Dtype,
    /// `_codecs.encode`: bytes, as protocols before 3 write them.
    Encode,
    /// The type `bytes`.
    Bytes,
    /// The type `bytearray`.
    ByteArray,
}

type Result<T> = std::result::Result<T, PickleError>;

impl Function {
    /// Returns the function with this name.
    ///
    /// # Errors
    /// [`PickleError::Refused`] for any that does not belong to plain data.
    pub(super) fn find(module: &str, name: &str) -> Result<Self> {
        Ok(match (module, name) {
            ("numpy.core.multiarray" | "numpy._core.multiarray", "_reconstruct") => {
                Self::Reconstruct
            }
            ("numpy.core.multiarray" | "numpy._core.multiarray", "scalar") => Self::Scalar,
            ("numpy.core.numeric" | "numpy._core.numeric", "_frombuffer") => Self::FromBuffer,
            ("numpy", "ndarray") => Self::NdArray,
            ("numpy", "dtype") => Self::Dtype,
            ("_codecs", "encode") => Self::Encode,
            ("__builtin__" | "builtins", "bytes") => Self::Bytes,
            ("__builtin__" | "builtins", "bytearray") => Self::ByteArray,
            _ => {
                let name: String = format!("{module}.{name}").chars().take(120).collect();
                return Err(PickleError::Refused(format!(
                    "it names `{name}`, and only dict, list, tuple, str, bytes, int, float, bool, None and numpy arrays are read"
                )));
            }
        })
    }
}

impl Machine<'_> {
    /// Returns what the function gives for these arguments.
    pub(super) fn applied(&self, function: Function, arguments: &[Id]) -> Result<Node> {
        let nodes: Vec<&Node> = arguments
            .iter()
            .take(MAX_ARGUMENTS)
            .map(|id| self.node(*id))
            .collect();
        let wrong = || {
            self.cursor
                .damaged(format!("{function:?} has wrong arguments"))
        };
        match (function, nodes.as_slice()) {
            (Function::Reconstruct, [Node::Function(Function::NdArray), ..]) => {
                Ok(Node::Array(Array::empty()))
            }
            (Function::Dtype, [name, ..]) => {
                let name = match name {
                    Node::Text(text) => text.to_string(),
                    Node::Bytes(bytes) => String::from_utf8_lossy(bytes).into_owned(),
                    _ => return Err(wrong()),
                };
                let dtype = Dtype::from_name(&name).ok_or_else(|| {
                    let name: String = name.chars().take(40).collect();
                    PickleError::Refused(format!(
                        "it holds a numpy array of dtype `{name}`; bool, int and float are read"
                    ))
                })?;
                Ok(Node::Dtype(dtype))
            }
            (Function::Scalar, [Node::Dtype(dtype), Node::Bytes(bytes)])
                if bytes.len() == dtype.size =>
            {
                Ok(match dtype.number(bytes) {
                    Number::Bool(value) => Node::Bool(value),
                    Number::Int(value) => Node::Int(value),
                    Number::Float(value) => Node::Float(value),
                })
            }
            (
                Function::FromBuffer,
                [
                    Node::Bytes(bytes),
                    Node::Dtype(dtype),
                    Node::Tuple(shape),
                    Node::Text(order),
                ],
            ) => {
                let is_fortran = &**order == "F";
                self.array(shape, is_fortran, *dtype, bytes)
            }
            (Function::Bytes | Function::ByteArray, []) => Ok(Node::Bytes(Arc::from([]))),
            (Function::Bytes | Function::ByteArray, [Node::Bytes(bytes)]) => {
                Ok(Node::Bytes(Arc::clone(bytes)))
            }
            (Function::Encode | Function::ByteArray, [Node::Text(text), Node::Text(_)]) => {
                self.spend(text.len())?;
                latin1(text)
                    .map(Node::Bytes)
                    .ok_or_else(|| self.cursor.damaged("a byte string has other characters"))
            }
            (
                Function::Reconstruct
                | Function::FromBuffer
                | Function::Scalar
                | Function::NdArray
                | Function::Dtype
                | Function::Encode
                | Function::Bytes
                | Function::ByteArray,
                _,
            ) => Err(wrong()),
        }
    }

    /// Completes a value with its state, as `__setstate__` does. Only arrays and dtypes have one.
    pub(super) fn built(&mut self, target: Id, state: Id) -> Result<()> {
        let wrong = |what: &str| self.cursor.damaged(format!("the state of {what} is wrong"));
        let Node::Tuple(state) = self.node(state) else {
            let kind = self.node(target).kind();
            return Err(PickleError::Refused(format!("it sets the state of {kind}")));
        };
        let state = state.iter().take(MAX_ARGUMENTS);
        let state: Vec<&Node> = state.map(|id| self.node(*id)).collect();
        let built = match (self.node(target), state.as_slice()) {
            // Version, byte order, then what only structured and dated formats have.
            (Node::Dtype(dtype), [Node::Int(_), order, Node::None, Node::None, Node::None, ..]) => {
                let is_big_endian = match order {
                    Node::Text(order) => &**order == ">",
                    Node::Bytes(order) => **order == *b">",
                    _ => return Err(wrong("a dtype")),
                };
                Node::Dtype(dtype.in_order(is_big_endian))
            }
            (Node::Dtype(_), _) => {
                return Err(PickleError::Refused(
                    "it holds a structured numpy array".into(),
                ));
            }
            // Version, shape, dtype, whether columns come first, bytes.
            (
                Node::Array(_),
                [
                    Node::Int(_),
                    Node::Tuple(shape),
                    Node::Dtype(dtype),
                    order,
                    Node::Bytes(bytes),
                ],
            ) => {
                let is_fortran = match order {
                    Node::Bool(value) => *value,
                    Node::Int(value) => *value != 0,
                    _ => return Err(wrong("an array")),
                };
                self.array(shape, is_fortran, *dtype, bytes)?
            }
            (Node::Array(_), _) => return Err(wrong("an array")),
            (other, _) => {
                let kind = other.kind();
                return Err(PickleError::Refused(format!("it sets the state of {kind}")));
            }
        };
        self.set(target, built);
        Ok(())
    }

    fn array(
        &self,
        shape: &[Id],
        is_fortran: bool,
        dtype: Dtype,
        data: &Arc<[u8]>,
    ) -> Result<Node> {
        let side = |id: &Id| match self.node(*id) {
            Node::Int(side) => usize::try_from(*side).ok(),
            _ => None,
        };
        let array = shape
            .iter()
            .take(MAX_DIMENSIONS + 1)
            .map(side)
            .collect::<Option<Vec<usize>>>()
            .and_then(|shape| Array::new(shape, is_fortran, dtype, Arc::clone(data)));
        array.map(Node::Array).ok_or_else(|| {
            self.cursor
                .damaged("an array does not have the bytes of its shape")
        })
    }
}

/// Returns the bytes of a text whose characters are all below 256.
fn latin1(text: &str) -> Option<Arc<[u8]>> {
    text.chars()
        .map(|character| u8::try_from(u32::from(character)).ok())
        .collect()
}
