//! A JSON validator (RFC 8259) that takes one character at a time, so that a document can
//! be shown while it is received. Its state is one bit per level of nesting.

/// The deepest nesting that is accepted; its state takes 64 KiB.
pub const DEPTH_MAX: usize = 1 << 19;

/// The token that a character belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// White space between tokens.
    Blank,
    /// One of `{ } [ ] , :`
    Mark(char),
    /// A string, including its quotes.
    String {
        /// Whether the string is a key of an object.
        key: bool,
        /// Whether the character is the opening quote.
        first: bool,
        /// Whether the character is the closing quote.
        last: bool,
    },
    /// A number, or `true`, `false` or `null`.
    Word {
        /// Whether the character is the first one of the token.
        first: bool,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Before a value, or between top-level values.
    Value,
    /// After `[`: before a value or `]`.
    FirstItem,
    /// After `{`: before a key or `}`.
    FirstKey,
    /// After a comma in an object.
    Key,
    Colon,
    /// After a value in an array or an object.
    After,
    /// After a top-level number or literal, which must be separated from the next value.
    Apart,
    String(bool),
    Escape(bool),
    /// Within a `\u` escape; the number of missing digits.
    Hex(bool, u8),
    Number(Number),
    /// Within a literal; its missing characters.
    Literal(&'static str),
}

/// The position in a number.
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
    /// Returns the position after `c`; `None` if `c` is not part of the number.
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

/// A validator of a sequence of JSON values.
#[derive(Clone, Debug)]
pub struct Scanner {
    state: State,
    /// Whether each open level is an object, as 64 bits per element.
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
    /// Returns the number of open arrays and objects.
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

    /// Processes the next character; `None` if the text is not JSON.
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

    /// Processes a character between tokens, or the first one of a token.
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

    /// Processes the first character of a value.
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
    fn the_depth_is_limited() {
        let mut scanner = Scanner::default();
        for _ in 0..DEPTH_MAX {
            assert!(scanner.step('[').is_some());
        }
        assert!(scanner.step('[').is_none());
    }

    proptest! {
        /// Compares the verdict on random token sequences.
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
            // Every prefix is checked as well.
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
