//! From an expression's text to its program: read and checked in one pass, from left to right (edge-behaviour §4.2).

use std::{net::IpAddr, sync::Arc};

use memchr::memmem;
use regex::bytes::{Regex, RegexBuilder};

use crate::{
    error::ExpressionError,
    fields::{self, Known, Map},
    listed::{Listed, Lists},
    program::{Comparison, Order, Term, Test},
    scan::{Parsed, Scan},
    sets::{Addresses, Numbers},
    value::{Scalar, Type, Value},
    wildcard::Wildcard,
};

mod calls;

/// Longest expression, in characters.
pub const EXPRESSION_CHARS_MAX: usize = poterne_model::ruleset::EXPRESSION_CHARS_MAX;

/// Most levels of parentheses, calls and `not`.
pub const DEPTH_MAX: usize = 64;

/// Most regular expressions of one expression.
pub const REGEXES_MAX: usize = 16;

/// Largest regular expression, in bytes once it is compiled.
pub const REGEX_BYTES_MAX: usize = 2 * 1024 * 1024;

/// When a rule is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    /// Before there is an answer.
    Request,
    /// When there is one: the fields of responses are there too.
    Response,
}

/// What an expression asks for that this node does not have.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Lacking {
    /// Fields that are known and not filled here.
    pub fields: Vec<String>,
    /// Lists that are not there, are of another kind than what is looked for in them, or have too many items.
    pub lists: Vec<String>,
}

impl Lacking {
    /// Whether everything is there.
    pub fn is_nothing(&self) -> bool {
        self.fields.is_empty() && self.lists.is_empty()
    }

    pub(crate) fn add(&mut self, other: Self) {
        self.fields.extend(other.fields);
        self.lists.extend(other.lists);
    }
}

/// A condition, and what it asks for in vain.
pub(crate) fn condition(text: &str, moment: Moment, lists: &Lists) -> Parsed<(Test, Lacking, usize)> {
    let mut compiler = Compiler::begin(text, moment, lists)?;
    let operand = compiler.expression()?;
    compiler.end()?;
    let (test, each) = compiler.as_condition(operand)?;
    match each {
        Some(_) => compiler.scan.wrong(0, "this is true or false for each item of a list: write any(…) or all(…) around it"),
        None => Ok((test, compiler.lacking, compiler.regexes)),
    }
}

/// An expression that is a value, written as a text.
pub(crate) fn value(text: &str, moment: Moment, lists: &Lists) -> Parsed<(Term, Lacking, usize)> {
    let mut compiler = Compiler::begin(text, moment, lists)?;
    let operand = compiler.expression()?;
    compiler.end()?;
    let term = match operand.what {
        What::Test(test, None) => Term::Test(Box::new(test)),
        What::Term(Argument { term, kind: Type::One(_), each: None, .. }) => term,
        What::Term(Argument { kind, each: None, .. }) => {
            return compiler.scan.wrong(
                operand.at,
                format!("this is {kind}, and a text is wanted: take one of its items, as in […][0], or join(…)"),
            );
        }
        What::Test(_, Some(_)) | What::Term(_) => {
            return compiler
                .scan
                .wrong(operand.at, "[*] stands for each item of a list, and one text is wanted: write [0], or join(…)");
        }
    };
    Ok((term, compiler.lacking, compiler.regexes))
}

struct Compiler<'t> {
    scan: Scan<'t>,
    moment: Moment,
    lists: &'t Lists,
    depth: usize,
    regexes: usize,
    /// Whether `regex_replace` or `wildcard_replace` came.
    replaces: bool,
    lacking: Lacking,
}

/// Part of an expression, and where it begins.
struct Operand {
    at: usize,
    what: What,
}

enum What {
    /// The list, of whose items it says something, by its text.
    Test(Test, Option<String>),
    Term(Argument),
}

/// A term that no operator follows, or stands before.
struct Argument {
    at: usize,
    term: Term,
    kind: Type,
    /// Where it is a list whose items are meant, one by one: the list, by its text.
    each: Option<String>,
    /// Where it is a list that was made of another, item by item: that other, by its text.
    of: Option<String>,
}

impl Argument {
    const fn new(at: usize, term: Term, kind: Type) -> Self {
        Self { at, term, kind, each: None, of: None }
    }

    const fn is_literal(&self) -> bool {
        matches!(self.term, Term::Literal(_))
    }
}

impl<'t> Compiler<'t> {
    fn begin(text: &'t str, moment: Moment, lists: &'t Lists) -> Parsed<Self> {
        let characters = text.chars().count();
        if characters > EXPRESSION_CHARS_MAX {
            let why = format!("the expression has {characters} characters: at most {EXPRESSION_CHARS_MAX} are taken");
            return Err(ExpressionError::new(text, 0, 1, why));
        }
        Ok(Self { scan: Scan::new(text), moment, lists, depth: 0, regexes: 0, replaces: false, lacking: Lacking::default() })
    }

    fn end(&mut self) -> Parsed<()> {
        self.scan.skip();
        if self.scan.rest().is_empty() {
            return Ok(());
        }
        let from = self.scan.at;
        let why = match self.scan.peek() {
            Some(b')') => "this ) closes nothing: take it away, or write ( before".to_owned(),
            _ => format!("here stands {}, and not an operator: join conditions by and, or, xor", self.scan.shown()),
        };
        self.scan.word();
        self.scan.wrong(from, why)
    }

    /// One level deeper, for as long as it takes.
    fn deeper<T>(&mut self, read: impl FnOnce(&mut Self) -> Parsed<T>) -> Parsed<T> {
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            return self.scan.wrong(
                self.scan.at,
                format!("the expression is nested more than {DEPTH_MAX} levels deep: divide it into several rules"),
            );
        }
        let read = read(self);
        self.depth -= 1;
        read
    }

    fn expression(&mut self) -> Parsed<Operand> {
        self.joined(&["or", "||"], Test::Any, |this| {
            this.joined(&["xor", "^^"], Test::Odd, |this| this.joined(&["and", "&&"], Test::All, Self::unary))
        })
    }

    /// Operands with one of these operators between them.
    fn joined(
        &mut self,
        operators: &[&str],
        join: fn(Vec<Test>) -> Test,
        operand: impl Fn(&mut Self) -> Parsed<Operand>,
    ) -> Parsed<Operand> {
        let first = operand(self)?;
        if !self.operator(operators) {
            return Ok(first);
        }
        let at = first.at;
        let (test, mut each) = self.as_condition(first)?;
        let mut parts = vec![test];
        loop {
            let next = operand(self)?;
            let from = next.at;
            let (test, of) = self.as_condition(next)?;
            if each != of {
                return self.scan.wrong(from, "what is said of each item of a list goes together with what is said of the same list alone: write any(…) or all(…) around each");
            }
            each = of;
            parts.push(test);
            if !self.operator(operators) {
                return Ok(Operand { at, what: What::Test(join(parts), each) });
            }
        }
    }

    fn operator(&mut self, operators: &[&str]) -> bool {
        self.scan.skip();
        operators.iter().any(|operator| match operator.as_bytes()[0].is_ascii_alphabetic() {
            true => self.scan.eat_word(operator),
            false => self.scan.eat(operator),
        })
    }

    fn unary(&mut self) -> Parsed<Operand> {
        self.scan.skip();
        let at = self.scan.at;
        if self.scan.eat_word("not") || self.scan.eat("!") {
            let inner = self.deeper(Self::unary)?;
            let (test, each) = self.as_condition(inner)?;
            return Ok(Operand { at, what: What::Test(Test::Not(Box::new(test)), each) });
        }
        if self.scan.eat("(") {
            let inner = self.deeper(Self::expression)?;
            self.scan.expect(")", "at the end of what stands in parentheses")?;
            return Ok(Operand { at, what: inner.what });
        }
        self.comparison()
    }

    /// As a condition; with the list of whose items it is one.
    fn as_condition(&self, operand: Operand) -> Parsed<(Test, Option<String>)> {
        let argument = match operand.what {
            What::Test(test, each) => return Ok((test, each)),
            What::Term(argument) => argument,
        };
        match argument {
            Argument { term: Term::Literal(Value::Bool(is)), .. } => Ok((Test::Const(is), None)),
            Argument { term, kind: Type::One(Scalar::Bool), each: None, .. } => Ok((Test::Is(Box::new(term)), None)),
            Argument { term, kind: Type::One(Scalar::Bool), each, .. } => Ok((Test::IsEach(Box::new(term)), each)),
            Argument { term, kind: Type::List(Scalar::Bool), of, .. } => {
                Ok((Test::IsEach(Box::new(term)), Some(of.unwrap_or_default())))
            }
            Argument { term: Term::Literal(_), .. } => self.scan.wrong(
                operand.at,
                "a condition begins with a field or a function: write what it is compared with behind the operator",
            ),
            Argument { kind, .. } => {
                let example = match kind {
                    Type::One(Scalar::Int) => "… gt 10",
                    Type::One(Scalar::Ip) => "… in {192.0.2.0/24}",
                    Type::One(_) => "… eq \"a\"",
                    Type::List(_) => "any(…[*] eq \"a\")",
                    Type::Map => "any(…[\"name\"][*] eq \"a\")",
                };
                self.scan
                    .wrong(operand.at, format!("this is {kind}, and a condition is true or false: compare it, as in {example}"))
            }
        }
    }

    fn comparison(&mut self) -> Parsed<Operand> {
        let at = self.scan.at;
        if let Some(literal) = self.literal()? {
            if self.is_before_an_operator() {
                let why = "a comparison begins with a field or a function: write this value behind the operator";
                return self.scan.wrong(at, why);
            }
            return Ok(Operand { at, what: What::Term(Argument::new(at, literal.0, literal.1)) });
        }
        let word_at = self.scan.at;
        for (word, all) in [("any", false), ("all", true)] {
            if self.scan.eat_word(word) {
                self.scan.skip();
                if self.scan.eat("(") {
                    let inner = self.deeper(Self::expression)?;
                    let (test, each) = self.as_condition(inner)?;
                    self.scan.expect(")", &format!("at the end of {word}(…)"))?;
                    if each.is_none() {
                        return self
                            .scan
                            .wrong(at, format!("{word}(…) is asked about the items of a list: write [*] behind the list"));
                    }
                    let test = Box::new(test);
                    return Ok(Operand { at, what: What::Test(if all { Test::OfAll(test) } else { Test::OfAny(test) }, None) });
                }
                self.scan.at = word_at;
            }
        }
        let value = self.value()?;
        self.scan.skip();
        let operator_at = self.scan.at;
        match self.compared(value.kind, operator_at)? {
            None => Ok(Operand { at, what: What::Term(value) }),
            Some(with) => {
                let term = Box::new(value.term);
                let test = if value.each.is_some() { Test::CompareEach(term, with) } else { Test::Compare(term, with) };
                Ok(Operand { at, what: What::Test(test, value.each) })
            }
        }
    }

    fn is_before_an_operator(&self) -> bool {
        let mut ahead = Scan { text: self.scan.text, at: self.scan.at };
        ahead.skip();
        let is_sign = ["==", "!=", "<", ">", "~"].iter().any(|sign| ahead.rest().starts_with(sign));
        is_sign || matches!(ahead.word(), "eq" | "ne" | "lt" | "le" | "gt" | "ge" | "contains" | "matches" | "wildcard" | "in")
    }

    /// `true`, `false`, a text, a number or an address; none where a name begins.
    fn literal(&mut self) -> Parsed<Option<(Term, Type)>> {
        let boolean = |is| (Term::Literal(Value::Bool(is)), Type::One(Scalar::Bool));
        if self.scan.eat_word("true") {
            return Ok(Some(boolean(true)));
        }
        if self.scan.eat_word("false") {
            return Ok(Some(boolean(false)));
        }
        if self.scan.is_text() {
            let text = self.scan.text()?;
            return Ok(Some((Term::Literal(Value::text(text)), Type::One(Scalar::Text))));
        }
        match self.scan.peek() {
            Some(b'0'..=b'9' | b'-') => {
                let digits = self.scan.rest().trim_start_matches('-').trim_start_matches(|c: char| c.is_ascii_alphanumeric());
                if digits.starts_with([':', '.']) && !digits.starts_with("..") {
                    let address = self.scan.address()?;
                    return Ok(Some((Term::Literal(Value::Ip(address)), Type::One(Scalar::Ip))));
                }
                let number = self.scan.int()?;
                Ok(Some((Term::Literal(Value::Int(number)), Type::One(Scalar::Int))))
            }
            _ => Ok(None),
        }
    }

    /// A field or a call, with its indexes.
    fn value(&mut self) -> Parsed<Argument> {
        let at = self.scan.at;
        let name = self.scan.word();
        if name.is_empty() {
            return self.scan.wrong(at, format!("here stands {}, and not a field or a function", self.scan.shown()));
        }
        self.scan.skip();
        let is_call = self.scan.peek() == Some(b'(');
        if !is_call {
            // Blanks behind a field belong to nobody.
            self.scan.at = at + name.len();
        }
        let mut value = if is_call { self.call(name, at)? } else { self.field(name, at)? };
        loop {
            let from = self.scan.at;
            self.scan.skip();
            if !self.scan.eat("[") {
                self.scan.at = from;
                return Ok(value);
            }
            value = self.index(value)?;
        }
    }

    fn field(&mut self, name: &str, at: usize) -> Parsed<Argument> {
        let known = fields::find(name, self.moment == Moment::Response);
        let (term, kind) = match known {
            Some(Known::Field(field, kind)) => (Term::Field(field), kind),
            Some(Known::Map(map)) => return self.map(map, at),
            Some(Known::Unfilled(kind)) => {
                if !self.lacking.fields.iter().any(|known| known == name) {
                    self.lacking.fields.push(name.to_owned());
                }
                (Term::Unfilled, kind)
            }
            None => {
                let shown: String = name.chars().take(64).collect();
                let why = if fields::is_of_response(name) {
                    format!("the field {shown} is there once there is an answer: only rules of response phases can ask for it")
                } else if calls::is_function(name) {
                    format!("{shown} is a function: write its arguments in parentheses behind it")
                } else {
                    match fields::nearest(name) {
                        Some(nearest) => format!("there is no field {shown}: did you mean {nearest}?"),
                        None => format!("there is no field {shown}"),
                    }
                };
                return self.scan.wrong(at, why);
            }
        };
        Ok(Argument::new(at, term, kind))
    }

    /// A map, which is not a value: what stands under a name of it is.
    fn map(&mut self, map: Map, at: usize) -> Parsed<Argument> {
        let from = self.scan.at;
        self.scan.skip();
        if !self.scan.eat("[") {
            self.scan.at = from;
            return Ok(Argument::new(at, Term::Entries(map, Box::default()), Type::Map));
        }
        self.scan.skip();
        if self.scan.eat("*") {
            return self.scan.wrong(
                at,
                "a map is asked by name, as in [\"name\"]; all of its values are in the field with .values behind its name",
            );
        }
        let mut key = self.scan.text()?;
        if map.folds() {
            key.make_ascii_lowercase();
        }
        self.scan.expect("]", "behind the name")?;
        Ok(Argument::new(at, Term::Entries(map, key.into()), Type::List(Scalar::Text)))
    }

    /// What stands behind `[`.
    fn index(&mut self, value: Argument) -> Parsed<Argument> {
        let Argument { at, term, kind, each, of } = value;
        self.scan.skip();
        let from = self.scan.at;
        if each.is_some() {
            return self.scan.wrong(from, "behind [*] there is nothing to take an item of");
        }
        let scalar = match (kind, &term) {
            (Type::List(scalar), _) => scalar,
            // A map that this node does not fill.
            (Type::Map, Term::Unfilled) if self.scan.is_text() => {
                self.scan.text()?;
                self.scan.expect("]", "behind the name")?;
                return Ok(Argument::new(at, term, Type::List(Scalar::Text)));
            }
            _ => return self.scan.wrong(at, format!("this is {kind}, which has no items")),
        };
        if self.scan.eat("*") {
            self.scan.expect("]", "behind the *")?;
            let each = of.unwrap_or_else(|| self.scan.text[at..self.scan.at].to_owned());
            return Ok(Argument { each: Some(each), ..Argument::new(at, term, Type::One(scalar)) });
        }
        if self.scan.is_text() {
            return self.scan.wrong(from, "a list has items by number, as in [0], or each of them, as in [*]");
        }
        let place = self.scan.int()?;
        let Ok(place) = usize::try_from(place) else { return self.scan.wrong(from, "items are counted from 0") };
        self.scan.expect("]", "behind the number")?;
        Ok(Argument::new(at, Term::At(Box::new(term), place), Type::One(scalar)))
    }

    /// The operator and what stands behind it; none where there is no operator.
    fn compared(&mut self, kind: Type, from: usize) -> Parsed<Option<Comparison>> {
        const ORDERS: [(&str, Order); 12] = [
            ("==", Order::Eq),
            ("!=", Order::Ne),
            ("<=", Order::Le),
            (">=", Order::Ge),
            ("<", Order::Lt),
            (">", Order::Gt),
            ("eq", Order::Eq),
            ("ne", Order::Ne),
            ("le", Order::Le),
            ("ge", Order::Ge),
            ("lt", Order::Lt),
            ("gt", Order::Gt),
        ];
        let order = ORDERS.into_iter().find(|(word, _)| match word.as_bytes()[0].is_ascii_alphabetic() {
            true => self.scan.eat_word(word),
            false => self.scan.eat(word),
        });
        if let Some((word, order)) = order {
            self.scan.skip();
            return self.ordered(kind, word, order, from).map(Some);
        }
        if self.scan.eat_word("contains") {
            self.only(kind, Scalar::Text, "contains", from)?;
            self.scan.skip();
            let text = self.scan.text()?;
            return Ok(Some(Comparison::Contains(Box::new(memmem::Finder::new(&text).into_owned()))));
        }
        if self.scan.eat_word("matches") || self.scan.eat("~") {
            self.only(kind, Scalar::Text, "matches", from)?;
            self.scan.skip();
            return Ok(Some(Comparison::Matches(Box::new(self.regex()?))));
        }
        let strict = self.scan.eat_word("strict");
        if strict {
            self.scan.skip();
        }
        if self.scan.eat_word("wildcard") {
            self.only(kind, Scalar::Text, "wildcard", from)?;
            self.scan.skip();
            return Ok(Some(Comparison::Wildcard(Box::new(self.wildcard(strict)?))));
        }
        if strict {
            return self.scan.wrong(from, "behind strict stands wildcard");
        }
        if self.scan.eat_word("in") {
            self.scan.skip();
            return self.set(kind, from).map(Some);
        }
        if self.scan.eat_word("bitwise_and") || (!self.scan.rest().starts_with("&&") && self.scan.eat("&")) {
            self.only(kind, Scalar::Int, "&", from)?;
            self.scan.skip();
            return Ok(Some(Comparison::Bits(self.scan.int()?)));
        }
        let here = self.scan.at;
        let word = self.scan.word();
        if matches!(word, "starts_with" | "ends_with") {
            return self.scan.wrong(here, format!("{word} is a function: write {word}(…, \"a\")"));
        }
        if word == "not" {
            return self.scan.wrong(here, "not stands before a whole comparison, as in not ip.src in {192.0.2.0/24}");
        }
        self.scan.at = here;
        Ok(None)
    }

    fn only(&mut self, kind: Type, wanted: Scalar, operator: &str, from: usize) -> Parsed<()> {
        if kind == Type::One(wanted) {
            return Ok(());
        }
        let why = format!("{operator} compares {wanted}, and this is {kind}");
        self.scan.wrong(from, why)
    }

    fn ordered(&mut self, kind: Type, word: &str, order: Order, from: usize) -> Parsed<Comparison> {
        match kind {
            Type::One(Scalar::Int) => Ok(Comparison::Int(order, self.scan.int()?)),
            Type::One(Scalar::Text) => Ok(Comparison::Text(order, self.scan.text()?.into())),
            Type::One(Scalar::Ip) if matches!(order, Order::Eq | Order::Ne) => {
                let at = self.scan.at;
                let (first, last) = self.scan.addresses()?;
                if first != last {
                    return self.scan.wrong(at, "a network is no address: write in {…} around it");
                }
                Ok(Comparison::Ip(order, first))
            }
            Type::One(Scalar::Ip) => {
                self.scan.wrong(from, "addresses are not greater or smaller here: write in {192.0.2.1..192.0.2.9}")
            }
            Type::One(Scalar::Bool) => self.scan.wrong(
                from,
                format!("this is true or false by itself: leave {word} out, and write not before it for the contrary"),
            ),
            Type::List(_) => self.scan.wrong(from, "a list is compared item by item: write any(…[*] …), or take one, as in …[0]"),
            Type::Map => self.scan.wrong(from, "a map is asked by name: write any(…[\"name\"][*] …)"),
        }
    }

    fn set(&mut self, kind: Type, from: usize) -> Parsed<Comparison> {
        if self.scan.eat("$") {
            return self.list(kind, from);
        }
        self.scan.expect("{", "behind in")?;
        match kind {
            Type::One(Scalar::Int) => {
                let ranges = self.elements(|scan| {
                    let at = scan.at;
                    let first = scan.int()?;
                    let last = if scan.eat("..") { scan.int()? } else { first };
                    if first > last {
                        scan.wrong(at, "a range goes from the smaller number to the greater one")
                    } else {
                        Ok((first, last))
                    }
                })?;
                Ok(Comparison::IntIn(Arc::new(Numbers::of(ranges))))
            }
            Type::One(Scalar::Text) => {
                let mut texts: Vec<Box<[u8]>> = self.elements(|scan| scan.text().map(Vec::into_boxed_slice))?;
                texts.sort_unstable();
                Ok(Comparison::TextIn(texts))
            }
            Type::One(Scalar::Ip) => {
                let ranges: Vec<(IpAddr, IpAddr)> = self.elements(Scan::addresses)?;
                Ok(Comparison::IpIn(Arc::new(Addresses::of(ranges))))
            }
            other => self.scan.wrong(from, format!("in looks for a text, a number or an address, and this is {other}")),
        }
    }

    fn elements<T>(&mut self, element: impl Fn(&mut Scan<'t>) -> Parsed<T>) -> Parsed<Vec<T>> {
        let mut all = Vec::new();
        loop {
            self.scan.skip();
            if self.scan.eat("}") {
                return if all.is_empty() {
                    self.scan.wrong(self.scan.at - 1, "nothing is in {}: write at least one element")
                } else {
                    Ok(all)
                };
            }
            if self.scan.eat(",") {
                return self
                    .scan
                    .wrong(self.scan.at - 1, "elements stand behind each other with blanks between: leave the comma out");
            }
            all.push(element(&mut self.scan)?);
        }
    }

    fn list(&mut self, kind: Type, from: usize) -> Parsed<Comparison> {
        let at = self.scan.at;
        let name = self.scan.word();
        let fits = |name: &str| {
            let letters =
                name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_' || byte == b'.');
            !name.is_empty() && letters && !name.starts_with('.') && !name.ends_with('.')
        };
        if !fits(name) {
            return self.scan.wrong(at, "behind $ stands a list's name: small letters, digits and _");
        }
        if !matches!(kind, Type::One(Scalar::Text | Scalar::Int | Scalar::Ip)) {
            return self.scan.wrong(from, format!("in looks for a text, a number or an address, and this is {kind}"));
        }
        match (kind, self.lists.get(name)) {
            (Type::One(Scalar::Ip), Some(Listed::Addresses(all))) => return Ok(Comparison::IpIn(Arc::clone(all))),
            (Type::One(Scalar::Int), Some(Listed::Numbers(all))) => return Ok(Comparison::IntIn(Arc::clone(all))),
            (Type::One(Scalar::Text), Some(Listed::Hosts(all))) => return Ok(Comparison::HostIn(Arc::clone(all))),
            (Type::One(Scalar::Text), Some(Listed::Redirects(all))) => return Ok(Comparison::Led(Arc::clone(all))),
            _ => {}
        }
        if !self.lacking.lists.iter().any(|known| known == name) {
            self.lacking.lists.push(name.to_owned());
        }
        Ok(Comparison::InList)
    }

    fn wildcard(&mut self, strict: bool) -> Parsed<Wildcard> {
        let from = self.scan.at;
        let pattern = self.scan.text()?;
        match Wildcard::new(&pattern, strict) {
            Ok(wildcard) => Ok(wildcard),
            Err(why) => self.scan.wrong(from, why),
        }
    }

    fn regex(&mut self) -> Parsed<Regex> {
        let from = self.scan.at;
        let pattern = self.scan.regex()?;
        self.regexes += 1;
        if self.regexes > REGEXES_MAX {
            return self.scan.wrong(
                from,
                format!("the expression has more than {REGEXES_MAX} regular expressions: join some by |, or divide the rule"),
            );
        }
        let built =
            RegexBuilder::new(&pattern).unicode(false).size_limit(REGEX_BYTES_MAX).dfa_size_limit(REGEX_BYTES_MAX).build();
        built.or_else(|error| match error {
            regex::Error::CompiledTooBig(_) => {
                self.scan.wrong(from, "this regular expression is too large once it is compiled: repeat less in it")
            }
            // The last line says why, the others repeat the expression.
            other => {
                let told = other.to_string();
                let why = told.lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned();
                self.scan.wrong(from, format!("this is no regular expression: {why}"))
            }
        })
    }
}
