//! A JSON validator that is fed character by character (RFC 8259), so that a
//! document can be shown while it comes in. It keeps one bit for each level of
//! nesting and nothing else.

/// Deeper documents are not read as JSON: 64 KiB of state are enough.
pub const DEPTH_MAX: usize = 1 << 19;

/// What a character is part of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// White space between tokens.
    Blank,
    /// One of `{ } [ ] , :`
    Mark(char),
    /// A string, quotes included.
    String {
        /// Whether it names a member of an object.
        key: bool,
        /// Whether this is the quote at its start.
        first: bool,
        /// Whether this is the quote at its end.
        last: bool,
    },
    /// A number, or `true`, `false`, `null`.
    Word {
        /// Whether this is its first character.
        first: bool,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// A value, or at the top level the end of the input.
    Value,
    /// Behind `[`: a value or `]`.
    FirstItem,
    /// Behind `{`: a key or `}`.
    FirstKey,
    /// Behind a comma in an object.
    Key,
    Colon,
    /// Behind a value in an array or object.
    After,
    /// Behind a top level number or literal; the next value must stand apart.
    Apart,
    String(bool),
    Escape(bool),
    /// Hexadecimal digits left of a `\u` escape.
    Hex(bool, u8),
    Number(Number),
    /// What is left of `true`, `false` or `null`.
    Literal(&'static str),
}

/// Where in a number the next character stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Number {
    Minus,
    Zero,
    Integer,
    Point,
    Fraction,
    Exponent,
    ExponentSign,
    ExponentDigits,
}

impl Number {
    /// The state behind `c`; `None` if `c` is not part of the number.
    fn next(self, c: char) -> Option<Self> {
        match (self, c) {
            (Self::Minus, '0') => Some(Self::Zero),
            (Self::Minus, '1'..='9') | (Self::Integer, '0'..='9') => Some(Self::Integer),
            (Self::Zero | Self::Integer, '.') => Some(Self::Point),
            (Self::Point | Self::Fraction, '0'..='9') => Some(Self::Fraction),
            (Self::Zero | Self::Integer | Self::Fraction, 'e' | 'E') => Some(Self::Exponent),
            (Self::Exponent, '+' | '-') => Some(Self::ExponentSign),
            (Self::Exponent | Self::ExponentSign | Self::ExponentDigits, '0'..='9') => {
                Some(Self::ExponentDigits)
            }
            _ => None,
        }
    }

    /// Whether the number may end here.
    fn is_complete(self) -> bool {
        matches!(
            self,
            Self::Zero | Self::Integer | Self::Fraction | Self::ExponentDigits
        )
    }
}

/// The validator. It reads any number of values one after the other.
#[derive(Clone, Debug)]
pub struct Scanner {
    state: State,
    /// Whether each open level is an object, 64 levels to a word.
    objects: Vec<u64>,
    depth: usize,
}

impl Default for Scanner {
    fn default() -> Self {
        Self {
            state: State::Value,
            objects: Vec::new(),
            depth: 0,
        }
    }
}

impl Scanner {
    /// The number of arrays and objects that are open.
    pub fn depth(&self) -> usize {
        self.depth
    }

    /// Whether the input may end here.
    pub fn is_complete(&self) -> bool {
        let ends = match self.state {
            State::Value | State::Apart => true,
            State::Number(number) => number.is_complete(),
            _ => false,
        };
        ends && self.depth == 0
    }

    /// Takes the next character; `None` if the text is not JSON.
    pub fn step(&mut self, c: char) -> Option<Part> {
        match self.state {
            State::String(key) => return self.in_string(c, key),
            State::Escape(key) => {
                self.state = match c {
                    '"' | '\\' | '/' | 'b' | 'f' | 'n' | 'r' | 't' => State::String(key),
                    'u' => State::Hex(key, 4),
                    _ => return None,
                };
                return Some(within(key));
            }
            State::Hex(key, left) => {
                if !c.is_ascii_hexdigit() {
                    return None;
                }
                self.state = match left {
                    1 => State::String(key),
                    left => State::Hex(key, left - 1),
                };
                return Some(within(key));
            }
            State::Literal(rest) => {
                let rest = rest.strip_prefix(c)?;
                if rest.is_empty() {
                    self.end_word();
                } else {
                    self.state = State::Literal(rest);
                }
                return Some(Part::Word { first: false });
            }
            State::Number(number) => {
                if let Some(next) = number.next(c) {
                    self.state = State::Number(next);
                    return Some(Part::Word { first: false });
                }
                if !number.is_complete() {
                    return None;
                }
                self.end_word();
            }
            _ => {}
        }
        self.between(c)
    }

    /// A character that stands between tokens or begins one.
    fn between(&mut self, c: char) -> Option<Part> {
        if matches!(c, ' ' | '\t' | '\r' | '\n') {
            if self.state == State::Apart {
                self.state = State::Value;
            }
            return Some(Part::Blank);
        }
        match (self.state, c) {
            (State::FirstItem, ']') | (State::FirstKey, '}') => Some(self.close(c)),
            (State::FirstKey | State::Key, '"') => {
                self.state = State::String(true);
                Some(Part::String {
                    key: true,
                    first: true,
                    last: false,
                })
            }
            (State::Colon, ':') => {
                self.state = State::Value;
                Some(Part::Mark(c))
            }
            (State::After, ',') => {
                self.state = if self.in_object() {
                    State::Key
                } else {
                    State::Value
                };
                Some(Part::Mark(c))
            }
            (State::After, ']') if !self.in_object() => Some(self.close(c)),
            (State::After, '}') if self.in_object() => Some(self.close(c)),
            (State::Value | State::FirstItem, _) | (State::Apart, '"' | '[' | '{') => self.value(c),
            _ => None,
        }
    }

    /// The first character of a value.
    fn value(&mut self, c: char) -> Option<Part> {
        self.state = match c {
            '{' | '[' => return self.open(c),
            '"' => {
                self.state = State::String(false);
                return Some(Part::String {
                    key: false,
                    first: true,
                    last: false,
                });
            }
            't' => State::Literal("rue"),
            'f' => State::Literal("alse"),
            'n' => State::Literal("ull"),
            '-' => State::Number(Number::Minus),
            c => State::Number(Number::Minus.next(c)?),
        };
        Some(Part::Word { first: true })
    }

    fn in_string(&mut self, c: char, key: bool) -> Option<Part> {
        match c {
            '"' => {
                if key {
                    self.state = State::Colon;
                } else {
                    self.end_value();
                }
                return Some(Part::String {
                    key,
                    first: false,
                    last: true,
                });
            }
            '\\' => self.state = State::Escape(key),
            '\0'..=' ' if c != ' ' => return None,
            _ => {}
        }
        Some(within(key))
    }

    fn open(&mut self, c: char) -> Option<Part> {
        if self.depth == DEPTH_MAX {
            return None;
        }
        let (word, bit) = (self.depth / 64, 1 << (self.depth % 64));
        if word == self.objects.len() {
            self.objects.push(0);
        }
        if c == '{' {
            self.objects[word] |= bit;
            self.state = State::FirstKey;
        } else {
            self.objects[word] &= !bit;
            self.state = State::FirstItem;
        }
        self.depth += 1;
        Some(Part::Mark(c))
    }

    fn close(&mut self, c: char) -> Part {
        self.depth -= 1;
        self.end_value();
        Part::Mark(c)
    }

    fn in_object(&self) -> bool {
        let Some(level) = self.depth.checked_sub(1) else {
            return false;
        };
        self.objects[level / 64] & (1 << (level % 64)) != 0
    }

    fn end_value(&mut self) {
        self.state = if self.depth == 0 {
            State::Value
        } else {
            State::After
        };
    }

    fn end_word(&mut self) {
        self.state = if self.depth == 0 {
            State::Apart
        } else {
            State::After
        };
    }
}

fn within(key: bool) -> Part {
    Part::String {
        key,
        first: false,
        last: false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn accepts(text: &str) -> bool {
        let mut scanner = Scanner::default();
        text.chars().all(|c| scanner.step(c).is_some()) && scanner.is_complete()
    }

    fn serde_accepts(text: &str) -> bool {
        serde_json::Deserializer::from_str(text)
            .into_iter::<serde::de::IgnoredAny>()
            .all(|value| value.is_ok())
    }

    #[test]
    fn depth_is_bounded() {
        let mut scanner = Scanner::default();
        for _ in 0..DEPTH_MAX {
            assert!(scanner.step('[').is_some());
        }
        assert!(scanner.step('[').is_none());
    }

    proptest! {
        /// Grammatical text and text with one character changed.
        #[test]
        fn as_serde_json(
            picks in proptest::collection::vec(
                proptest::sample::select(vec![
                    "{", "}", "[", "]", ",", ":", "\"a\"", "\"\\u00e9\\n\"", "\"\\ud800\"", "\"\\x\"",
                    "0", "-1", "1.5e-3", "01", "1.", "-", "true", "null", "nul", "fals", " ", "\n",
                    "é", "\"\t\"", "[1,2]", "{\"k\":null}", "\"",
                ]),
                0..12,
            )
        ) {
            let text = picks.concat();
            prop_assert_eq!(accepts(&text), serde_accepts(&text), "{}", text);
        }

        #[test]
        fn of_what_serde_json_writes(
            // Each prefix is read as well.
            keys in proptest::collection::vec(".{0,12}", 0..4),
            number: f64,
        ) {
            let value = serde_json::json!({ "keys": keys, "n": [number, null, {}, []] });
            prop_assert!(accepts(&value.to_string()));
            let pretty = serde_json::to_string_pretty(&value).unwrap();
            prop_assert!(accepts(&pretty));
            for end in (0..pretty.len()).filter(|&end| pretty.is_char_boundary(end)) {
                prop_assert_eq!(accepts(&pretty[..end]), pretty[..end].trim().is_empty());
            }
        }
    }
}
