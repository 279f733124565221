//! A machine for the pickle instructions (protocols 2 to 5) that PyTorch writes.
//!
//! The instruction set is that of Python's `pickletools`. Instructions that checkpoints have no
//! use for are refused, and so is every class or function that is not in [`Global`].

use std::collections::HashMap;

use crate::checkpoint::PickleError;
use crate::checkpoint::torch::build::{Refusal, persistent_storage};
use crate::checkpoint::torch::global::Global;
use crate::checkpoint::torch::value::{HEAP_LIMIT, Heap, HeapFull, Value};

/// Deepest stack and most marks: writers flush containers every thousand entries.
const STACK_LIMIT: usize = 1 << 16;

/// Runs the instructions at the start of `bytes` up to STOP.
///
/// Values are added to `heap`. Returns the last value and how many bytes were read.
pub(super) fn load<'a>(
    bytes: &'a [u8],
    heap: &mut Heap<'a>,
) -> Result<(Value<'a>, usize), PickleError> {
    let mut machine = PickleMachine {
        bytes,
        at: 0,
        instruction: 0,
        stack: Vec::new(),
        marks: Vec::new(),
        memo: HashMap::new(),
        heap,
    };
    loop {
        if let Some(value) = machine.step()? {
            return Ok((value, machine.at));
        }
    }
}

struct PickleMachine<'a, 'h> {
    bytes: &'a [u8],
    at: usize,
    /// Where the current instruction begins, for messages.
    instruction: usize,
    stack: Vec<Value<'a>>,
    /// Heights of the stack at the open MARKs.
    marks: Vec<usize>,
    memo: HashMap<u32, Value<'a>>,
    heap: &'h mut Heap<'a>,
}

type Result<T, E = PickleError> = core::result::Result<T, E>;

impl<'a> PickleMachine<'a, '_> {
    /// One instruction; the result of the whole stream if it was STOP.
    fn step(&mut self) -> Result<Option<Value<'a>>> {
        self.instruction = self.at;
        let opcode = self.byte()?;
        match opcode {
            b'.' => return self.pop().map(Some),
            // PROTO and FRAME: the other instructions are self-delimiting.
            0x80 => self.take(1).map(drop)?,
            0x95 => self.take(8).map(drop)?,
            b'(' => self.mark()?,
            b'0' => self.pop().map(drop)?,
            b'1' => self.pop_to_mark().map(drop)?,
            b'2' => {
                let top = self.top()?;
                self.push(top)?;
            }
            b'N' | 0x88 | 0x89 | b'K' | b'M' | b'J' | 0x8a | 0x8b | b'G' => {
                let value = self.number(opcode)?;
                self.push(value)?;
            }
            b'X' | 0x8c | 0x8d => {
                let text = self.text(opcode)?;
                self.push(Value::Text(text))?;
            }
            // A string of Python 2: text or bytes.
            b'U' | b'T' => {
                let bytes = self.sized(opcode)?;
                self.push(core::str::from_utf8(bytes).map_or(Value::Skipped, Value::Text))?;
            }
            b'C' | b'B' | 0x8e | 0x96 => {
                self.sized(opcode)?;
                self.push(Value::Skipped)?;
            }
            b'q' | b'r' | 0x94 => self.put(opcode)?,
            b'h' | b'j' => {
                let value = self.memoized(opcode)?;
                self.push(value)?;
            }
            b'c' | 0x93 => {
                let global = self.global(opcode)?;
                self.push(Value::Global(global))?;
            }
            b'R' | 0x81 => self.reduce()?,
            // NEWOBJ_EX: keyword arguments besides.
            0x92 => {
                self.pop()?;
                self.reduce()?;
            }
            b'b' => self.build()?,
            b'Q' => {
                let identifier = self.pop()?;
                let storage = persistent_storage(identifier, self.heap);
                self.push_built(storage)?;
            }
            _ => self.container(opcode)?,
        }
        Ok(None)
    }

    /// Instructions that make or fill containers.
    fn container(&mut self, opcode: u8) -> Result<()> {
        match opcode {
            b'}' => {
                let dict = self.heap.new_dict();
                self.push_new(dict)
            }
            b')' | b']' => self.push_sequence(&[]),
            0x85..=0x87 => {
                let values = self.pop_many(usize::from(opcode - 0x84))?;
                self.push_sequence(&values)
            }
            b't' => {
                let values = self.pop_to_mark()?;
                self.push_sequence(&values)
            }
            b'a' => {
                let values = self.pop_many(1)?;
                self.append(&values)
            }
            b'e' => {
                let values = self.pop_to_mark()?;
                self.append(&values)
            }
            b's' => {
                let pair = self.pop_many(2)?;
                self.set_items(&pair)
            }
            b'u' => {
                let pairs = self.pop_to_mark()?;
                self.set_items(&pairs)
            }
            // Sets hold no tensors: EMPTY_SET, ADDITEMS, FROZENSET.
            0x8f => self.push(Value::Skipped),
            0x90 => self.pop_to_mark().map(drop),
            0x91 => {
                self.pop_to_mark()?;
                self.push(Value::Skipped)
            }
            _ => Err(PickleError::Opcode { at: self.instruction, opcode }),
        }
    }

    fn number(&mut self, opcode: u8) -> Result<Value<'a>> {
        Ok(match opcode {
            b'N' => Value::None,
            0x88 => Value::Bool(true),
            0x89 => Value::Bool(false),
            b'K' => Value::Int(i64::from(self.byte()?)),
            b'M' => Value::Int(i64::from(u16::from_le_bytes(self.array()?))),
            b'J' => Value::Int(i64::from(i32::from_le_bytes(self.array()?))),
            b'G' => Value::Float(f64::from_be_bytes(self.array()?)),
            _ => {
                let long = opcode == 0x8b;
                let length = if long { self.length::<4>()? } else { usize::from(self.byte()?) };
                little_endian(self.take(length)?).map_or(Value::Skipped, Value::Int)
            }
        })
    }

    fn text(&mut self, opcode: u8) -> Result<&'a str> {
        let bytes = self.sized(opcode)?;
        core::str::from_utf8(bytes).map_err(|_| self.operand("text in UTF-8"))
    }

    /// The bytes of a text or a byte string, after a length of one, four or eight bytes.
    fn sized(&mut self, opcode: u8) -> Result<&'a [u8]> {
        let length = match opcode {
            0x8c | b'U' | b'C' => usize::from(self.byte()?),
            b'X' | b'T' | b'B' => self.length::<4>()?,
            _ => self.length::<8>()?,
        };
        self.take(length)
    }

    fn put(&mut self, opcode: u8) -> Result<()> {
        let slot = match opcode {
            b'q' => u32::from(self.byte()?),
            b'r' => u32::from_le_bytes(self.array()?),
            _ => self.memo.len() as u32,
        };
        let top = self.top()?;
        self.memo.insert(slot, top);
        self.limit("the memo", self.memo.len(), HEAP_LIMIT)
    }

    fn memoized(&mut self, opcode: u8) -> Result<Value<'a>> {
        let slot = match opcode {
            b'h' => u32::from(self.byte()?),
            _ => u32::from_le_bytes(self.array()?),
        };
        self.memo.get(&slot).copied().ok_or_else(|| self.operand("a memo slot that was filled"))
    }

    fn global(&mut self, opcode: u8) -> Result<Global> {
        let (module, name) = if opcode == b'c' {
            (self.line()?, self.line()?)
        } else {
            let pair = self.pop_many(2)?;
            let [Value::Text(module), Value::Text(name)] = *pair else {
                return Err(self.operand("two texts that name a class or function"));
            };
            (module, name)
        };
        Global::find(module, name)
            .ok_or_else(|| PickleError::Forbidden { name: format!("{module}.{name}") })
    }

    /// REDUCE and NEWOBJ: a class or function and a tuple of arguments become a value.
    fn reduce(&mut self) -> Result<()> {
        let pair = self.pop_many(2)?;
        let [Value::Global(global), Value::Sequence(arguments)] = *pair else {
            return Err(self.operand("a class or function and a tuple of arguments"));
        };
        let value = global.build(arguments, self.heap);
        self.push_built(value)
    }

    /// BUILD: gives the top value a state, which for the types on the list says nothing about
    /// tensors (`_metadata` of a state dict, the byte order of a numpy type).
    fn build(&mut self) -> Result<()> {
        self.pop()?;
        match self.top()? {
            Value::Dict(_) | Value::Tensor(_) | Value::Unreadable(_) | Value::Skipped => Ok(()),
            // A deque of a class of its own.
            Value::Sequence(_) => Ok(()),
            _ => Err(self.operand("a dictionary or a tensor to give a state to")),
        }
    }

    fn append(&mut self, values: &[Value<'a>]) -> Result<()> {
        match self.top()? {
            Value::Sequence(sequence) => {
                self.heap.append(sequence, values).map_err(|full| self.full(full))
            }
            Value::Skipped => Ok(()),
            _ => Err(self.operand("a list to append to")),
        }
    }

    fn set_items(&mut self, pairs: &[Value<'a>]) -> Result<()> {
        let dict = match self.top()? {
            Value::Dict(dict) => dict,
            Value::Skipped => return Ok(()),
            _ => return Err(self.operand("a dictionary to fill")),
        };
        let (pairs, []) = pairs.as_chunks::<2>() else {
            return Err(self.operand("a value for every key"));
        };
        for &[key, value] in pairs {
            self.heap.insert(dict, key, value).map_err(|full| self.full(full))?;
        }
        Ok(())
    }

    fn mark(&mut self) -> Result<()> {
        self.marks.push(self.stack.len());
        self.limit("the number of marks", self.marks.len(), STACK_LIMIT)
    }

    fn push(&mut self, value: Value<'a>) -> Result<()> {
        self.stack.push(value);
        self.limit("the stack", self.stack.len(), STACK_LIMIT)
    }

    fn push_new(&mut self, value: Result<Value<'a>, HeapFull>) -> Result<()> {
        let value = value.map_err(|full| self.full(full))?;
        self.push(value)
    }

    fn push_built(&mut self, value: Result<Value<'a>, Refusal>) -> Result<()> {
        let value = value.map_err(|refusal| match refusal {
            Refusal::Wants(wants) => self.operand(wants),
            Refusal::Full(full) => self.full(full),
        })?;
        self.push(value)
    }

    fn push_sequence(&mut self, values: &[Value<'a>]) -> Result<()> {
        let sequence = self.heap.new_sequence(values);
        self.push_new(sequence)
    }

    fn top(&self) -> Result<Value<'a>> {
        match self.stack.last() {
            Some(&top) if self.stack.len() > self.floor() => Ok(top),
            _ => Err(self.operand("a value on the stack")),
        }
    }

    fn pop(&mut self) -> Result<Value<'a>> {
        let top = self.top()?;
        self.stack.pop();
        Ok(top)
    }

    fn pop_many(&mut self, count: usize) -> Result<Vec<Value<'a>>> {
        if self.stack.len() - self.floor() < count {
            return Err(self.operand("more values on the stack"));
        }
        Ok(self.stack.split_off(self.stack.len() - count))
    }

    fn pop_to_mark(&mut self) -> Result<Vec<Value<'a>>> {
        let mark = self.marks.pop().ok_or_else(|| self.operand("a mark on the stack"))?;
        Ok(self.stack.split_off(mark))
    }

    /// Height of the stack at the last open MARK: instructions do not reach below it.
    fn floor(&self) -> usize {
        self.marks.last().copied().unwrap_or(0)
    }

    fn take(&mut self, length: usize) -> Result<&'a [u8]> {
        let rest = &self.bytes[self.at..];
        let taken = rest.get(..length).ok_or(PickleError::End { at: self.instruction })?;
        self.at += length;
        Ok(taken)
    }

    fn byte(&mut self) -> Result<u8> {
        self.array::<1>().map(|[byte]| byte)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        let bytes = self.take(N)?;
        Ok(*bytes.first_chunk().expect("take gives as many bytes as asked for"))
    }

    /// A length of `N` bytes; one that is too large for memory ends in [`PickleError::End`].
    fn length<const N: usize>(&mut self) -> Result<usize> {
        let bytes = self.take(N)?;
        Ok(little_endian(bytes).and_then(|n| usize::try_from(n).ok()).unwrap_or(usize::MAX))
    }

    /// Text up to a line feed.
    fn line(&mut self) -> Result<&'a str> {
        let rest = &self.bytes[self.at..];
        let length = rest.iter().position(|&byte| byte == b'\n');
        let length = length.ok_or(PickleError::End { at: self.instruction })?;
        self.at += length + 1;
        core::str::from_utf8(&rest[..length]).map_err(|_| self.operand("a name in UTF-8"))
    }

    fn operand(&self, wants: &'static str) -> PickleError {
        PickleError::Operand { at: self.instruction, wants }
    }

    fn full(&self, _: HeapFull) -> PickleError {
        let what = "the number of values";
        PickleError::Limit { at: self.instruction, what, limit: HEAP_LIMIT }
    }

    fn limit(&self, what: &'static str, has: usize, limit: usize) -> Result<()> {
        if has > limit {
            return Err(PickleError::Limit { at: self.instruction, what, limit });
        }
        Ok(())
    }
}

/// A signed integer of any number of bytes, if it fits.
fn little_endian(bytes: &[u8]) -> Option<i64> {
    if bytes.len() > 8 {
        return None;
    }
    let sign = if bytes.last().is_some_and(|&top| top >= 0x80) { 0xff } else { 0 };
    let mut wide = [sign; 8];
    wide[..bytes.len()].copy_from_slice(bytes);
    Some(i64::from_le_bytes(wide))
}
