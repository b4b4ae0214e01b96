//! Finds the possible mutants of a source file in its syntax tree.
//!
//! It leaves out what the compiler evaluates (constants, array lengths, patterns),
//! the arguments of macros, and code that the tests do not compile or that is part
//! of them.

use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};

use syn::spanned::Spanned;
use syn::visit::{self, Visit};
use syn::{BinOp, Expr, ImplItem, Item, Lit, Stmt, TraitItem, UnOp};

use super::modules::is_compiled;

/// A small change of a source file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Mutant {
    /// The file, relative to the root.
    pub(super) file: PathBuf,
    /// The line of the change, from 1.
    pub(super) line: usize,
    /// The bytes of the changed expression or statement.
    pub(super) range: Range<usize>,
    /// The text of the range after the change; `None` for a deleted statement.
    pub(super) mutated: Option<String>,
    /// The part that the change replaces.
    original: String,
    /// The part that replaces it.
    replacement: String,
}

/// Formats as `FILE:LINE: ORIGINAL -> REPLACEMENT`.
impl fmt::Display for Mutant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (file, original) = (self.file.display(), &self.original);
        let replacement = match self.replacement.as_str() {
            "" => "(nothing)",
            text => text,
        };
        write!(f, "{file}:{}: {original} -> {replacement}", self.line)
    }
}

/// Binary operators and their replacements.
const OPERATORS: [(&str, &[&str]); 20] = [
    ("==", &["!="]),
    ("!=", &["=="]),
    ("<=", &["<", ">"]),
    (">=", &[">", "<"]),
    ("<", &["<=", ">="]),
    (">", &[">=", "<="]),
    ("&&", &["||"]),
    ("||", &["&&"]),
    ("+", &["-"]),
    ("-", &["+"]),
    ("*", &["+"]),
    ("/", &["*"]),
    ("%", &["/"]),
    ("<<", &[">>"]),
    (">>", &["<<"]),
    ("&", &["|"]),
    ("|", &["&"]),
    ("^", &["&"]),
    ("+=", &["-="]),
    ("-=", &["+="]),
];

/// Methods and their replacements.
const METHODS: [(&str, &str); 6] = [
    ("is_some", "is_none"),
    ("is_none", "is_some"),
    ("min", "max"),
    ("max", "min"),
    ("any", "all"),
    ("all", "any"),
];

/// Returns all possible mutants of a source file, or the syntax error.
pub(super) fn mutants_of(file: &Path, text: &str) -> Result<Vec<Mutant>, syn::Error> {
    let syntax = syn::parse_file(text)?;
    let mut finder = Finder {
        file,
        text,
        mutants: Vec::new(),
    };
    finder.visit_file(&syntax);
    finder.mutants.sort_by_key(|mutant| mutant.range.start);
    Ok(finder.mutants)
}

/// Collects the mutants of a file.
struct Finder<'a> {
    file: &'a Path,
    text: &'a str,
    mutants: Vec<Mutant>,
}

impl Finder<'_> {
    /// Adds a mutant of `whole` that replaces the text of `part`.
    fn add(&mut self, whole: &Range<usize>, part: &Range<usize>, replacement: &str) {
        let before = &self.text[whole.start..part.start];
        let after = &self.text[part.end..whole.end];
        self.add_mutated(
            whole,
            part,
            replacement,
            format!("{before}{replacement}{after}"),
        );
    }

    fn add_mutated(
        &mut self,
        whole: &Range<usize>,
        part: &Range<usize>,
        replacement: &str,
        mutated: impl Into<Option<String>>,
    ) {
        self.mutants.push(Mutant {
            file: self.file.to_path_buf(),
            line: self.text[..part.start].matches('\n').count() + 1,
            range: whole.clone(),
            mutated: mutated.into(),
            original: self.text[part.clone()].to_owned(),
            replacement: replacement.to_owned(),
        });
    }

    /// Adds the mutants of an expression without those of its parts.
    fn expression(&mut self, expression: &Expr) {
        let whole = bytes(expression);
        match expression {
            Expr::Binary(binary) if !contains_let(expression) => {
                let part = bytes(&binary.op);
                let operator = &self.text[part.clone()];
                let found = OPERATORS.iter().find(|(original, _)| *original == operator);
                let left = &self.text[bytes(&*binary.left)];
                let right = &self.text[bytes(&*binary.right)];
                for replacement in found.into_iter().flat_map(|(_, others)| *others) {
                    // Parentheses, since the precedence may differ.
                    let assigns = matches!(binary.op, BinOp::AddAssign(_) | BinOp::SubAssign(_));
                    let mutated = if assigns {
                        format!("{left} {replacement} {right}")
                    } else {
                        format!("({left}) {replacement} ({right})")
                    };
                    self.add_mutated(&whole, &part, replacement, mutated);
                }
            }
            Expr::Unary(unary) if matches!(unary.op, UnOp::Not(_)) => {
                self.add(&whole, &bytes(&unary.op), "");
            }
            Expr::MethodCall(call) => {
                let part = bytes(&call.method);
                let method = &self.text[part.clone()];
                if let Some((_, other)) = METHODS.iter().find(|(name, _)| *name == method) {
                    self.add(&whole, &part, other);
                }
            }
            Expr::Lit(literal) => match &literal.lit {
                Lit::Bool(value) => {
                    self.add(&whole, &whole, if value.value { "false" } else { "true" });
                }
                Lit::Int(_) => {
                    if let Some(other) = next_number(&self.text[whole.clone()]) {
                        self.add(&whole, &whole, &other);
                    }
                }
                _ => {}
            },
            _ => {}
        }
    }
}

impl<'ast> Visit<'ast> for Finder<'_> {
    fn visit_item(&mut self, item: &'ast Item) {
        let visited = match item {
            Item::Fn(function) => is_compiled(&function.attrs) && function.sig.constness.is_none(),
            Item::Impl(block) => is_compiled(&block.attrs),
            Item::Trait(definition) => is_compiled(&definition.attrs),
            Item::Mod(module) => is_compiled(&module.attrs),
            _ => false,
        };
        if visited {
            visit::visit_item(self, item);
        }
    }

    fn visit_impl_item(&mut self, item: &'ast ImplItem) {
        if let ImplItem::Fn(function) = item
            && is_compiled(&function.attrs)
            && function.sig.constness.is_none()
        {
            self.visit_block(&function.block);
        }
    }

    fn visit_trait_item(&mut self, item: &'ast TraitItem) {
        if let TraitItem::Fn(function) = item
            && let Some(block) = &function.default
            && is_compiled(&function.attrs)
        {
            self.visit_block(block);
        }
    }

    fn visit_stmt(&mut self, statement: &'ast Stmt) {
        let range = bytes(statement);
        if self.text[range.clone()].starts_with("#[cfg") {
            return;
        }
        if let Stmt::Expr(expression, Some(_)) = statement {
            let call = match expression {
                Expr::Try(inner) => &inner.expr,
                other => other,
            };
            if matches!(call, Expr::Call(_) | Expr::MethodCall(_)) {
                self.add_mutated(&range, &range, "", None);
            }
        }
        visit::visit_stmt(self, statement);
    }

    fn visit_expr(&mut self, expression: &'ast Expr) {
        let text = &self.text[bytes(expression)];
        if text.starts_with("#[cfg") {
            return;
        }
        if !text.starts_with('#') {
            self.expression(expression);
        }
        visit::visit_expr(self, expression);
    }

    fn visit_expr_repeat(&mut self, repeat: &'ast syn::ExprRepeat) {
        self.visit_expr(&repeat.expr);
    }

    fn visit_expr_const(&mut self, _: &'ast syn::ExprConst) {}

    fn visit_attribute(&mut self, _: &'ast syn::Attribute) {}

    fn visit_macro(&mut self, _: &'ast syn::Macro) {}

    fn visit_pat(&mut self, _: &'ast syn::Pat) {}

    fn visit_type(&mut self, _: &'ast syn::Type) {}

    fn visit_signature(&mut self, _: &'ast syn::Signature) {}

    fn visit_generics(&mut self, _: &'ast syn::Generics) {}

    fn visit_path(&mut self, _: &'ast syn::Path) {}

    fn visit_angle_bracketed_generic_arguments(
        &mut self,
        _: &'ast syn::AngleBracketedGenericArguments,
    ) {
    }
}

/// Returns the bytes of a part of the syntax tree in the text of its file.
fn bytes(part: &impl Spanned) -> Range<usize> {
    part.span().byte_range()
}

/// Whether an operand of `&&` or `||` is a `let`, which must not be moved.
fn contains_let(expression: &Expr) -> bool {
    match expression {
        Expr::Let(_) => true,
        Expr::Binary(binary) => contains_let(&binary.left) || contains_let(&binary.right),
        _ => false,
    }
}

/// Returns a decimal literal plus one.
fn next_number(word: &str) -> Option<String> {
    let digits = word.bytes().all(|byte| byte.is_ascii_digit());
    let number: u64 = word.parse().ok().filter(|_| digits)?;
    Some((number + 1).to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str) -> Vec<String> {
        let mutants = mutants_of(Path::new("a.rs"), text).unwrap();
        mutants.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn operators_methods_numbers_and_statements_are_found() {
        let text = "fn f(a: u8) -> bool {\n    if a < 3 && !done() {\n        go(a);\n    }\n    \
                    list.iter().any(|x| x.is_none())\n}\n";
        let mut all = found(text);
        all.sort();
        assert_eq!(
            all,
            [
                "a.rs:2: ! -> (nothing)",
                "a.rs:2: && -> ||",
                "a.rs:2: 3 -> 4",
                "a.rs:2: < -> <=",
                "a.rs:2: < -> >=",
                "a.rs:3: go(a); -> (nothing)",
                "a.rs:5: any -> all",
                "a.rs:5: is_none -> is_some",
            ]
        );
    }

    #[test]
    fn code_that_cannot_be_changed_is_skipped() {
        for text in [
            "// a == b\n",
            "fn f() -> &'static str {\n    \"a == \\\" 1 && b\"\n}\n",
            "const A: bool = 1 == 2;\nstatic B: u8 = 1 + 2;\n",
            "const fn f() -> u8 {\n    1 + 2\n}\n",
            "enum A {\n    B = 1,\n}\nstruct C([u8; 2]);\n",
            "#[derive(Debug)]\n#[arg(default_value = \"1]\", max = 2)]\nstruct A;\n",
            "fn f(x: [u8; 1]) -> [u8; 1] {\n    let a: [u8; 2] = [x; 3];\n    g::<4>()\n}\n",
            "fn f(x: u8) {\n    match x {\n        1 | 2..=3 => {}\n        _ => {}\n    }\n}\n",
            "fn f() {\n    assert!(1 == 2);\n    const A: u8 = 1;\n}\n",
            "fn f() {\n    if let Some(x) = y && z {}\n}\n",
            "fn f() {}\n#[cfg(test)]\nmod tests {\n    fn f() -> bool {\n        1 == 2\n    }\n}\n",
            "impl A {\n    #[cfg(feature = \"fuzzing\")]\n    fn f() -> u8 {\n        1\n    }\n}\n",
            "fn f() {\n    #[cfg(test)]\n    go(1);\n}\n",
            "fn f() -> u64 {\n    1_000 + 0x10\n}\n",
        ] {
            let mut mutants = found(text);
            mutants.retain(|mutant| !mutant.contains("+ -> -"));
            assert_eq!(mutants, [""; 0], "{text}");
        }
        // The condition behind a `let` can be changed, the `&&` cannot.
        let text = "fn f() {\n    if let Some(x) = y && x == z {}\n}\n";
        assert_eq!(found(text), ["a.rs:2: == -> !="]);
    }

    #[test]
    fn a_mutant_has_the_changed_text_of_its_range() {
        let text = "fn f() -> bool {\n    // \u{e9} == 1\n    !a(x * y - z) || b += 1\n}\n";
        let mutants = mutants_of(Path::new("a.rs"), text).unwrap();
        let mut changes: Vec<(&str, &str)> = mutants
            .iter()
            .map(|mutant| {
                (
                    &text[mutant.range.clone()],
                    mutant.mutated.as_deref().unwrap(),
                )
            })
            .collect();
        changes.sort_unstable();
        assert_eq!(
            changes,
            [
                ("!a(x * y - z)", "a(x * y - z)"),
                ("!a(x * y - z) || b", "(!a(x * y - z)) && (b)"),
                ("!a(x * y - z) || b += 1", "!a(x * y - z) || b -= 1"),
                ("1", "2"),
                ("x * y", "(x) + (y)"),
                ("x * y - z", "(x * y) + (z)"),
            ]
        );
    }
}
