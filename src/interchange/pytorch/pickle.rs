//! What torch.save writes for tensors, read without running anything: a pickle is a program for a machine with a stack, which
//! may call any function of Python. This one knows dictionaries, lists, tuples, numbers, texts, and the two functions of PyTorch
//! that make tensors of storages; at anything else it ends.

use std::collections::HashMap;

use safetensors::Dtype;

/// What to do where a pickle asks for more than tensors.
const SAVE: &str =
    "it is not run: in Python, torch.save(model.state_dict(), FILE) saves the tensors alone";

/// The place of a value among all.
pub type Id = usize;

/// A value that a pickle makes.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    None,
    Bool,
    Int(i64),
    Float,
    Text(String),
    Tuple(Vec<Id>),
    List(Vec<Id>),
    /// Keys and values, in their order.
    Dict(Vec<(Id, Id)>),
    Global(Global),
    Storage(Storage),
    Tensor(Tensor),
}

/// A name of Python's that has a meaning here.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Global {
    OrderedDict,
    RebuildTensor,
    RebuildParameter,
    /// The class of storages of a type.
    Storage(Dtype),
}

/// The elements that tensors are views of: a file of the archive.
#[derive(Debug, Clone, PartialEq)]
pub struct Storage {
    pub dtype: Dtype,
    pub key: String,
    pub elements: u64,
}

/// A view of a storage, in elements.
#[derive(Debug, Clone, PartialEq)]
pub struct Tensor {
    pub storage: Storage,
    pub offset: u64,
    pub shape: Vec<u64>,
    pub strides: Vec<u64>,
}

/// All values of a pickle, and which is the last.
#[derive(Debug)]
pub struct Pickle {
    pub values: Vec<Value>,
    pub top: Id,
}

impl Value {
    /// In a sentence.
    pub fn kind(&self) -> &'static str {
        match self {
            Value::None => "None",
            Value::Bool | Value::Int(_) | Value::Float => "a number",
            Value::Text(_) => "a text",
            Value::Tuple(_) => "a tuple",
            Value::List(_) => "a list",
            Value::Dict(_) => "a dictionary",
            Value::Global(_) => "a name of Python's",
            Value::Storage(_) => "a storage",
            Value::Tensor(_) => "a tensor",
        }
    }
}

impl Global {
    fn named(module: &str, name: &str) -> Option<Global> {
        let storage = |dtype| Some(Global::Storage(dtype));
        match (module, name) {
            ("collections", "OrderedDict") => Some(Global::OrderedDict),
            ("torch._utils", "_rebuild_tensor_v2") => Some(Global::RebuildTensor),
            ("torch._utils", "_rebuild_parameter") => Some(Global::RebuildParameter),
            ("torch", "FloatStorage") => storage(Dtype::F32),
            ("torch", "DoubleStorage") => storage(Dtype::F64),
            ("torch", "HalfStorage") => storage(Dtype::F16),
            ("torch", "BFloat16Storage") => storage(Dtype::BF16),
            ("torch", "LongStorage") => storage(Dtype::I64),
            ("torch", "IntStorage") => storage(Dtype::I32),
            ("torch", "ShortStorage") => storage(Dtype::I16),
            ("torch", "CharStorage") => storage(Dtype::I8),
            ("torch", "ByteStorage") => storage(Dtype::U8),
            ("torch", "BoolStorage") => storage(Dtype::BOOL),
            _ => None,
        }
    }
}

/// Reads a pickle. Memory grows with its bytes, never by what they claim.
///
/// # Errors
/// It is cut off, or wants what is not known here: the name or the operation, and what to do.
pub fn read(bytes: &[u8]) -> Result<Pickle, String> {
    let mut machine = Machine { bytes, at: 0, ..Machine::default() };
    loop {
        if let Some(top) = machine.step()? {
            return Ok(Pickle { values: machine.values, top });
        }
    }
}

#[derive(Default)]
struct Machine<'a> {
    bytes: &'a [u8],
    at: usize,
    values: Vec<Value>,
    stack: Vec<Id>,
    /// Heights of the stack.
    marks: Vec<usize>,
    memo: HashMap<u32, Id>,
}

impl<'a> Machine<'a> {
    /// One operation, by the codes of Python's pickletools; the value of the whole at the last.
    fn step(&mut self) -> Result<Option<Id>, String> {
        let begin = self.at;
        let code = self.byte()?;
        match code {
            0x80 => match self.byte()? {
                2..=5 => {}
                version => return Err(format!("its pickle is of protocol {version}: {SAVE}")),
            },
            b'.' => return self.pop().map(Some),
            b'(' => self.marks.push(self.stack.len()),
            b'N' => self.push(Value::None),
            0x88 | 0x89 => self.push(Value::Bool),
            b'K' => {
                let number = self.byte()?;
                self.push(Value::Int(i64::from(number)));
            }
            b'M' => {
                let number = u16::from_le_bytes(self.array()?);
                self.push(Value::Int(i64::from(number)));
            }
            b'J' => {
                let number = i32::from_le_bytes(self.array()?);
                self.push(Value::Int(i64::from(number)));
            }
            0x8a => {
                let number = self.long()?;
                self.push(Value::Int(number));
            }
            b'G' => {
                self.array::<8>()?;
                self.push(Value::Float);
            }
            b'X' => {
                let length = u32::from_le_bytes(self.array()?);
                self.text(length as usize)?;
            }
            0x8c => {
                let length = self.byte()?;
                self.text(usize::from(length))?;
            }
            b')' => self.push(Value::Tuple(Vec::new())),
            0x85..=0x87 => {
                let count = usize::from(code - 0x84);
                let mark = self.stack.len().checked_sub(count).ok_or_else(cut)?;
                let items = self.above(mark)?;
                self.push(Value::Tuple(items));
            }
            b't' => {
                let items = self.above_mark()?;
                self.push(Value::Tuple(items));
            }
            b']' => self.push(Value::List(Vec::new())),
            b'}' => self.push(Value::Dict(Vec::new())),
            b'a' => {
                let item = self.pop()?;
                self.append(vec![item])?;
            }
            b'e' => {
                let items = self.above_mark()?;
                self.append(items)?;
            }
            b's' => {
                let mark = self.stack.len().checked_sub(2).ok_or_else(cut)?;
                let pair = self.above(mark)?;
                self.set(&pair)?;
            }
            b'u' => {
                let pairs = self.above_mark()?;
                self.set(&pairs)?;
            }
            b'q' => {
                let place = self.byte()?;
                self.keep(u32::from(place))?;
            }
            b'r' => {
                let place = u32::from_le_bytes(self.array()?);
                self.keep(place)?;
            }
            0x94 => self.keep(self.memo.len() as u32)?,
            b'h' => {
                let place = self.byte()?;
                self.recall(u32::from(place))?;
            }
            b'j' => {
                let place = u32::from_le_bytes(self.array()?);
                self.recall(place)?;
            }
            0x95 => {
                self.array::<8>()?; // a frame's length, of no meaning where all bytes are there
            }
            b'c' => {
                let (module, name) = (self.line()?, self.line()?);
                self.global(module, name)?;
            }
            0x93 => {
                let (name, module) = (self.pop()?, self.pop()?);
                let text = |id: Id| match &self.values[id] {
                    Value::Text(text) => Ok(text.clone()),
                    _ => Err(cut()),
                };
                let (module, name) = (text(module)?, text(name)?);
                self.global(&module, &name)?;
            }
            b'Q' => {
                let id = self.pop()?;
                let storage = self.storage(id)?;
                self.push(Value::Storage(storage));
            }
            b'R' => {
                let (arguments, function) = (self.pop()?, self.pop()?);
                let made = self.call(function, arguments)?;
                self.push(made);
            }
            b'b' => {
                // What an OrderedDict has beside its items: the versions of the modules.
                let (_, of) = (self.pop()?, self.top()?);
                if !matches!(self.values[of], Value::Dict(_)) {
                    let kind = self.values[of].kind();
                    return Err(format!(
                        "its pickle sets the state of {kind}, as of an object: {SAVE}"
                    ));
                }
            }
            code => {
                return Err(format!(
                    "its pickle has the operation {code:#04x} at byte {begin}, which the tensors of torch.save have \
                     not: {SAVE}"
                ));
            }
        }
        Ok(None)
    }

    fn push(&mut self, value: Value) {
        self.stack.push(self.values.len());
        self.values.push(value);
    }

    fn pop(&mut self) -> Result<Id, String> {
        // What lies below a mark is not there until the mark is gone.
        let bottom = self.marks.last().copied().unwrap_or(0);
        match self.stack.len() > bottom {
            true => self.stack.pop().ok_or_else(cut),
            false => Err(cut()),
        }
    }

    fn top(&self) -> Result<Id, String> {
        self.stack.last().copied().ok_or_else(cut)
    }

    /// Takes what lies above a height of the stack.
    fn above(&mut self, height: usize) -> Result<Vec<Id>, String> {
        let bottom = self.marks.last().copied().unwrap_or(0);
        match (bottom..=self.stack.len()).contains(&height) {
            true => Ok(self.stack.split_off(height)),
            false => Err(cut()),
        }
    }

    fn above_mark(&mut self) -> Result<Vec<Id>, String> {
        let mark = self.marks.pop().ok_or_else(cut)?;
        self.above(mark)
    }

    fn append(&mut self, items: Vec<Id>) -> Result<(), String> {
        let list = self.top()?;
        match &mut self.values[list] {
            Value::List(list) => list.extend(items),
            _ => return Err(cut()),
        }
        Ok(())
    }

    fn set(&mut self, pairs: &[Id]) -> Result<(), String> {
        let (pairs, rest) = pairs.as_chunks::<2>();
        let dict = self.top()?;
        match &mut self.values[dict] {
            Value::Dict(dict) if rest.is_empty() => {
                dict.extend(pairs.iter().map(|&[key, value]| (key, value)));
                Ok(())
            }
            _ => Err(cut()),
        }
    }

    fn keep(&mut self, place: u32) -> Result<(), String> {
        let top = self.top()?;
        self.memo.insert(place, top);
        Ok(())
    }

    fn recall(&mut self, place: u32) -> Result<(), String> {
        let id = self.memo.get(&place).copied().ok_or_else(cut)?;
        self.stack.push(id);
        Ok(())
    }

    fn global(&mut self, module: &str, name: &str) -> Result<(), String> {
        let Some(global) = Global::named(module, name) else {
            let shown = format!("{module:.60}.{name:.60}").escape_debug().to_string();
            return Err(format!("its pickle asks for {shown}, and {SAVE}"));
        };
        self.push(Value::Global(global));
        Ok(())
    }

    /// ("storage", its class, the name of its file, where it was, its elements)
    fn storage(&self, id: Id) -> Result<Storage, String> {
        let odd = || format!("its pickle has a storage of another form than torch.save's: {SAVE}");
        let Value::Tuple(items) = &self.values[id] else { return Err(odd()) };
        let items: Vec<&Value> = items.iter().map(|&id| &self.values[id]).collect();
        match items[..] {
            [
                Value::Text(kind),
                Value::Global(Global::Storage(dtype)),
                Value::Text(key),
                Value::Text(_),
                Value::Int(elements),
            ] if kind == "storage" => {
                let elements = u64::try_from(*elements).map_err(|_| odd())?;
                Ok(Storage { dtype: *dtype, key: key.clone(), elements })
            }
            _ => Err(odd()),
        }
    }

    fn call(&self, function: Id, arguments: Id) -> Result<Value, String> {
        let odd = || format!("its pickle makes a tensor in another way than torch.save's: {SAVE}");
        let (Value::Global(function), Value::Tuple(arguments)) =
            (&self.values[function], &self.values[arguments])
        else {
            return Err(odd());
        };
        let arguments: Vec<&Value> = arguments.iter().map(|&id| &self.values[id]).collect();
        match (function, &arguments[..]) {
            (Global::OrderedDict, []) => Ok(Value::Dict(Vec::new())),
            // Whether it takes gradients, and hooks, mean nothing here.
            (
                Global::RebuildTensor,
                [
                    Value::Storage(storage),
                    Value::Int(offset),
                    Value::Tuple(shape),
                    Value::Tuple(strides),
                    Value::Bool,
                    ..,
                ],
            ) => {
                let sizes = |ids: &[Id]| -> Result<Vec<u64>, String> {
                    let size = |id: &Id| match self.values[*id] {
                        Value::Int(size) => u64::try_from(size).map_err(|_| odd()),
                        _ => Err(odd()),
                    };
                    ids.iter().map(size).collect()
                };
                Ok(Value::Tensor(Tensor {
                    storage: storage.clone(),
                    offset: u64::try_from(*offset).map_err(|_| odd())?,
                    shape: sizes(shape)?,
                    strides: sizes(strides)?,
                }))
            }
            (Global::RebuildParameter, [Value::Tensor(tensor), ..]) => {
                Ok(Value::Tensor(tensor.clone()))
            }
            _ => Err(odd()),
        }
    }

    fn byte(&mut self) -> Result<u8, String> {
        self.array::<1>().map(|[byte]| byte)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], String> {
        let bytes = self.bytes.get(self.at..).and_then(|rest| rest.first_chunk());
        self.at += N;
        bytes.copied().ok_or_else(cut)
    }

    fn slice(&mut self, length: usize) -> Result<&'a [u8], String> {
        let end = self.at.checked_add(length).ok_or_else(cut)?;
        let slice = self.bytes.get(self.at..end).ok_or_else(cut)?;
        self.at = end;
        Ok(slice)
    }

    fn text(&mut self, length: usize) -> Result<(), String> {
        let text = str::from_utf8(self.slice(length)?).map_err(|_| cut())?;
        self.push(Value::Text(text.to_string()));
        Ok(())
    }

    /// Up to the end of a line.
    fn line(&mut self) -> Result<&'a str, String> {
        let rest = self.bytes.get(self.at..).ok_or_else(cut)?;
        let length = rest.iter().position(|&byte| byte == b'\n').ok_or_else(cut)?;
        let line = str::from_utf8(self.slice(length)?).map_err(|_| cut())?;
        self.at += 1;
        Ok(line)
    }

    /// A whole number of up to eight bytes.
    fn long(&mut self) -> Result<i64, String> {
        let length = usize::from(self.byte()?);
        let bytes = self.slice(length)?;
        if length > 8 {
            return Err(cut());
        }
        let fill = if bytes.last().is_some_and(|last| last & 0x80 != 0) { 0xff } else { 0 };
        let mut word = [fill; 8];
        word[..length].copy_from_slice(bytes);
        Ok(i64::from_le_bytes(word))
    }
}

fn cut() -> String {
    "its pickle is not whole".to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(bytes: &[u8]) -> String {
        read(bytes).unwrap_err()
    }

    #[test]
    fn plain_values_are_read() {
        let bytes = b"\x80\x02}q\x00(X\x01\x00\x00\x00aK\x05X\x01\x00\x00\x00b]q\x01(NJ\xff\xff\xff\xff\x8a\x02\x00\x80e\
                      X\x01\x00\x00\x00ch\x01u.";
        let Pickle { values, top } = read(bytes).unwrap();
        let Value::Dict(pairs) = &values[top] else { panic!("{values:?}") };
        let key = |i: usize| values[pairs[i].0].clone();
        assert_eq!([key(0), key(1), key(2)], ["a", "b", "c"].map(|k| Value::Text(k.into())));
        assert_eq!(values[pairs[0].1], Value::Int(5));
        assert_eq!(pairs[1].1, pairs[2].1);
        let Value::List(items) = &values[pairs[1].1] else { panic!("{values:?}") };
        let items: Vec<&Value> = items.iter().map(|&id| &values[id]).collect();
        assert_eq!(items, [&Value::None, &Value::Int(-1), &Value::Int(-32768)]);
    }

    #[test]
    fn what_would_run_something_is_named_and_not_run() {
        for (bytes, words) in [
            (&b"\x80\x02cos\nsystem\nX\x02\x00\x00\x00ls\x85R."[..], "asks for os.system"),
            (b"\x80\x02c__main__\nVAE\n)\x81.", "asks for __main__.VAE"),
            (b"\x80\x04\x8c\x08builtins\x8c\x04eval\x93.", "asks for builtins.eval"),
            (b"\x80\x02ccollections\nOrderedDict\n)\x81.", "operation 0x81 at byte 28"),
            (b"\x80\x02ccollections\nOrderedDict\nK\x01\x85R.", "in another way"),
            (b"\x80\x02K\x01}b.", "sets the state of a number"),
            (b"\x80\x00.", "protocol 0"),
            (b"i__main__\nVAE\n.", "operation 0x69 at byte 0"),
        ] {
            let error = error(bytes);
            assert!(
                error.contains(words) && error.contains("torch.save(model.state_dict()"),
                "{error}"
            );
            assert!(!error.contains('\n'));
        }
    }

    #[test]
    fn what_is_cut_off_or_twisted_is_an_error() {
        let whole = b"\x80\x02}q\x00(X\x01\x00\x00\x00aK\x05u.";
        for end in 0..whole.len() {
            assert_eq!(error(&whole[..end]), cut());
        }
        for bytes in [
            &b"\x80\x02(."[..],
            b"\x80\x02K\x01(\x85.",
            b"\x80\x02t.",
            b"\x80\x02h\x07.",
            b"\x80\x02K\x01K\x01s.",
            b"\x80\x02}(K\x01u.",
            b"\x80\x02K\x01K\x01a.",
            b"\x80\x02X\xff\xff\xff\xffa.",
            b"\x80\x02\x8a\x09123456789.",
            b"\x80\x02X\x01\x00\x00\x00\xff.",
        ] {
            assert_eq!(error(bytes), cut(), "{bytes:?}");
        }
        assert!(error(b"\x80\x02K\x01Q.").contains("a storage of another form"));
    }
}
