//! Calls: which arguments each function takes.

use aws_lc_rs::hmac;

use super::{Argument, Compiler, What};
use crate::{
    functions::{Function, Step, Template},
    program::Term,
    scan::Parsed,
    value::{Scalar, Type, Value},
    wildcard::Wildcard,
};

/// Most items that `split` makes.
const SPLIT_MAX: i64 = 128;

/// Most arguments of a function that takes as many as one likes.
const ARGUMENTS_MAX: usize = 64;

const FUNCTIONS: &[&str] = &[
    "cidr",
    "cidr6",
    "concat",
    "decode_base64",
    "encode_base64",
    "ends_with",
    "has_key",
    "has_value",
    "is_timed_hmac_valid_v0",
    "join",
    "len",
    "lookup_json_integer",
    "lookup_json_string",
    "lower",
    "regex_replace",
    "remove_bytes",
    "remove_query_args",
    "sha256",
    "split",
    "starts_with",
    "substring",
    "to_string",
    "upper",
    "url_decode",
    "wildcard_replace",
];

pub(super) fn is_function(name: &str) -> bool {
    FUNCTIONS.contains(&name) || matches!(name, "any" | "all")
}

const TEXT: Type = Type::One(Scalar::Text);
const INT: Type = Type::One(Scalar::Int);
const BOOL: Type = Type::One(Scalar::Bool);
const IP: Type = Type::One(Scalar::Ip);

impl Compiler<'_> {
    /// What stands behind a function's name.
    pub(super) fn call(&mut self, name: &str, at: usize) -> Parsed<Argument> {
        if name == "uuidv4" {
            // Known, and nothing here is random: whoever asks for it is told as with a field.
            self.scan.expect("(", "behind a function's name")?;
            let _ = self.deeper(|this| this.single(name, TEXT))?;
            self.scan.expect(")", "at the end of what uuidv4 takes")?;
            self.lacking.fields.push("uuidv4".to_owned());
            return Ok(Argument::new(at, Term::Unfilled, TEXT));
        }
        if !FUNCTIONS.contains(&name) {
            return self.unknown(name, at);
        }
        self.scan.expect("(", "behind a function's name")?;
        self.deeper(|this| this.arguments(name, at))
    }

    fn unknown<T>(&self, name: &str, at: usize) -> Parsed<T> {
        let shown: String = name.chars().take(64).collect();
        let why = match name {
            "bit_slice" => "bit_slice looks into packets, and rules here are asked of requests".to_owned(),
            "contains" | "matches" | "wildcard" | "in" => format!("{name} is an operator: write it between a field and a value"),
            _ => match poterne_model::spelling::nearest(name, FUNCTIONS.iter().copied()) {
                Some(nearest) => format!("there is no function {shown}: did you mean {nearest}?"),
                None => format!("there is no function {shown}: there are {}", FUNCTIONS.join(", ")),
            },
        };
        self.scan.wrong(at, why)
    }

    fn arguments(&mut self, name: &str, at: usize) -> Parsed<Argument> {
        let mut terms = Vec::new();
        // The first argument, which may be each item of a list.
        let mut first = |this: &mut Self, kind: Type| -> Parsed<Option<String>> {
            let argument = this.typed(name, kind)?;
            terms.push(argument.term);
            Ok(argument.each)
        };
        let (function, kind, each) = match name {
            "lower" => (Function::Lower, TEXT, first(self, TEXT)?),
            "upper" => (Function::Upper, TEXT, first(self, TEXT)?),
            "sha256" => (Function::Sha256, TEXT, first(self, TEXT)?),
            "decode_base64" => (Function::DecodeBase64, TEXT, first(self, TEXT)?),
            "len" | "to_string" => {
                let argument = self.argument()?;
                let fits = match (name, argument.kind) {
                    ("len", kind) => kind == TEXT || matches!(kind, Type::List(_)),
                    (_, kind) => matches!(kind, Type::One(_)),
                };
                if !fits {
                    let wanted = if name == "len" { "a text or a list" } else { "a number, an address, or true or false" };
                    return self.scan.wrong(argument.at, format!("{name} takes {wanted}, and this is {}", argument.kind));
                }
                terms.push(argument.term);
                if name == "len" { (Function::Len, INT, argument.each) } else { (Function::ToString, TEXT, argument.each) }
            }
            "starts_with" | "ends_with" => {
                let argument = self.typed(name, TEXT)?;
                if argument.is_literal() {
                    return self
                        .scan
                        .wrong(argument.at, format!("{name} looks into a field: write the field first, and the text behind it"));
                }
                terms.push(argument.term);
                self.comma(name)?;
                terms.push(self.single(name, TEXT)?.term);
                (if name == "starts_with" { Function::StartsWith } else { Function::EndsWith }, BOOL, argument.each)
            }
            "concat" => {
                let argument = self.argument()?;
                let each = argument.each.clone();
                self.is_one(name, &argument)?;
                terms.push(argument.term);
                while self.eats_comma() {
                    let argument = self.argument()?;
                    self.is_one(name, &argument)?;
                    self.not_each(&argument)?;
                    terms.push(argument.term);
                    self.few(name, terms.len())?;
                }
                (Function::Concat, TEXT, each)
            }
            "substring" => {
                let each = first(self, TEXT)?;
                self.comma(name)?;
                terms.push(self.single(name, INT)?.term);
                if self.eats_comma() {
                    terms.push(self.single(name, INT)?.term);
                }
                (Function::Substring, TEXT, each)
            }
            "split" => {
                let each = first(self, TEXT)?;
                self.comma(name)?;
                let separator = self.written(name, true)?.into();
                self.comma(name)?;
                let from = self.scan.at;
                let limit = self.number(name)?;
                match usize::try_from(limit) {
                    Ok(limit) if (1..=SPLIT_MAX.unsigned_abs()).contains(&(limit as u64)) => {
                        (Function::Split { separator, limit }, Type::List(Scalar::Text), each)
                    }
                    _ => return self.scan.wrong(from, format!("split makes 1 to {SPLIT_MAX} items")),
                }
            }
            "join" => {
                let argument = self.single(name, Type::List(Scalar::Text))?;
                terms.push(argument.term);
                self.comma(name)?;
                (Function::Join { separator: self.written(name, false)?.into() }, TEXT, None)
            }
            "regex_replace" => {
                let each = first(self, TEXT)?;
                self.replaces(name, at)?;
                self.comma(name)?;
                let regex = self.regex()?;
                self.comma(name)?;
                let template = self.template(name, regex.captures_len() - 1)?;
                (Function::RegexReplace { regex, template }, TEXT, each)
            }
            "wildcard_replace" => {
                let each = first(self, TEXT)?;
                self.replaces(name, at)?;
                self.comma(name)?;
                let from = self.scan.at;
                let pattern = self.written(name, false)?;
                let wildcard = match Wildcard::new(&pattern, false) {
                    Ok(wildcard) => wildcard,
                    Err(why) => return self.scan.wrong(from, why),
                };
                self.comma(name)?;
                let template = self.template(name, wildcard.stars())?;
                let strict = self.flags(name, "s")?.contains(&b's');
                let wildcard = if strict { Wildcard::new(&pattern, true).unwrap_or(wildcard) } else { wildcard };
                (Function::WildcardReplace { wildcard, template }, TEXT, each)
            }
            "url_decode" => {
                let each = first(self, TEXT)?;
                let flags = self.flags(name, "ru")?;
                (Function::UrlDecode { repeats: flags.contains(&b'r'), unicode: flags.contains(&b'u') }, TEXT, each)
            }
            "remove_bytes" => {
                let each = first(self, TEXT)?;
                self.comma(name)?;
                (Function::RemoveBytes { bytes: self.written(name, true)?.into() }, TEXT, each)
            }
            "remove_query_args" => {
                let from = self.scan.at;
                let argument = self.single(name, TEXT)?;
                use crate::fields::Field;
                if !matches!(argument.term, Term::Field(Field::Query | Field::RawQuery) | Term::Call(..)) {
                    return self.scan.wrong(from, "remove_query_args takes http.request.uri.query or raw.http.request.uri.query");
                }
                terms.push(argument.term);
                let mut names: Vec<Box<[u8]>> = Vec::new();
                while self.eats_comma() {
                    names.push(self.written(name, true)?.into());
                    self.few(name, names.len())?;
                }
                if names.is_empty() {
                    return self.scan.wrong(at, "remove_query_args takes the names of the arguments to remove behind the query");
                }
                (Function::RemoveQueryArgs { names }, TEXT, None)
            }
            "encode_base64" => {
                let each = first(self, TEXT)?;
                let flags = self.flags(name, "up")?;
                // `u`: for URLs; `p`: with padding.
                (Function::EncodeBase64 { url_safe: flags.contains(&b'u'), padded: flags.contains(&b'p') }, TEXT, each)
            }
            "lookup_json_string" | "lookup_json_integer" => {
                let each = first(self, TEXT)?;
                let path = self.steps(name)?;
                if name == "lookup_json_string" {
                    (Function::JsonString { path }, TEXT, each)
                } else {
                    (Function::JsonInteger { path }, INT, each)
                }
            }
            "cidr" | "cidr6" => {
                let each = first(self, IP)?;
                self.comma(name)?;
                let v4 = if name == "cidr" {
                    let bits = self.bits(name, 32)?;
                    self.comma(name)?;
                    Some(bits)
                } else {
                    None
                };
                (Function::Cidr { v4, v6: self.bits(name, 128)? }, IP, each)
            }
            "has_key" => {
                let argument = self.argument()?;
                let function = match (argument.kind, argument.term) {
                    (Type::Map, Term::Entries(map, _)) => Function::HasKey(map),
                    (Type::Map, Term::Unfilled) => {
                        terms.push(Term::Unfilled);
                        Function::HasValue
                    }
                    (kind, _) => {
                        return self
                            .scan
                            .wrong(argument.at, format!("has_key takes a map, as in http.request.headers, and this is {kind}"));
                    }
                };
                self.comma(name)?;
                terms.push(self.single(name, TEXT)?.term);
                (function, BOOL, None)
            }
            "has_value" => {
                let argument = self.argument()?;
                self.not_each(&argument)?;
                let function = match (argument.kind, argument.term) {
                    (Type::Map, Term::Entries(map, _)) => Function::MapHasValue(map),
                    (Type::Map | Type::List(Scalar::Text), term) => {
                        terms.push(term);
                        Function::HasValue
                    }
                    (kind, _) => {
                        return self
                            .scan
                            .wrong(argument.at, format!("has_value takes a map or a list of texts, and this is {kind}"));
                    }
                };
                self.comma(name)?;
                terms.push(self.single(name, TEXT)?.term);
                (function, BOOL, None)
            }
            _ => {
                // is_timed_hmac_valid_v0(key, MessageMAC, ttl, now[, separator[, flags]])
                let key = self.written(name, true)?;
                self.comma(name)?;
                terms.push(self.single(name, TEXT)?.term);
                self.comma(name)?;
                let ttl_secs = self.number(name)?;
                self.comma(name)?;
                terms.push(self.single(name, INT)?.term);
                let mut separator = 0;
                let mut flags = Vec::new();
                if self.eats_comma() {
                    let from = self.scan.at;
                    separator = match usize::try_from(self.number(name)?) {
                        Ok(length) if length <= 255 => length,
                        _ => return self.scan.wrong(from, "the separator has 0 to 255 bytes"),
                    };
                    flags = self.flags(name, "s")?;
                }
                let key = Box::new(hmac::Key::new(hmac::HMAC_SHA256, &key));
                (Function::IsTimedHmacValid { key, ttl_secs, separator, url_safe: flags.contains(&b's') }, BOOL, None)
            }
        };
        self.scan.expect(")", &format!("at the end of what {name} takes"))?;
        let function = Box::new(function);
        let Type::One(scalar) = kind else {
            if each.is_some() {
                return self.scan.wrong(at, format!("{name} makes a list, and is asked of one text: write [0] instead of [*]"));
            }
            return Ok(Argument::new(at, Term::Call(function, terms), kind));
        };
        Ok(match each {
            Some(_) => Argument { of: each, ..Argument::new(at, Term::CallEach(function, terms), Type::List(scalar)) },
            None => Argument::new(at, Term::Call(function, terms), kind),
        })
    }

    /// An argument, whatever it is.
    fn argument(&mut self) -> Parsed<Argument> {
        self.scan.skip();
        let operand = self.expression()?;
        Ok(match operand.what {
            What::Test(test, None) => Argument::new(operand.at, Term::Test(Box::new(test)), BOOL),
            What::Term(argument) => argument,
            What::Test(_, Some(_)) => {
                return self
                    .scan
                    .wrong(operand.at, "this is true or false for each item of a list: write any(…) or all(…) around it");
            }
        })
    }

    /// An argument of this type, or each item of a list of such.
    fn typed(&mut self, name: &str, kind: Type) -> Parsed<Argument> {
        let argument = self.argument()?;
        if argument.kind != kind {
            return self.scan.wrong(argument.at, format!("{name} takes {kind} here, and this is {}", argument.kind));
        }
        Ok(argument)
    }

    /// An argument of this type.
    fn single(&mut self, name: &str, kind: Type) -> Parsed<Argument> {
        let argument = self.typed(name, kind)?;
        self.not_each(&argument)?;
        Ok(argument)
    }

    fn not_each(&self, argument: &Argument) -> Parsed<()> {
        match argument.each {
            Some(_) => self.scan.wrong(argument.at, "[*] may stand in a function's first argument alone"),
            None => Ok(()),
        }
    }

    fn is_one(&self, name: &str, argument: &Argument) -> Parsed<()> {
        match argument.kind {
            Type::One(_) => Ok(()),
            kind => self
                .scan
                .wrong(argument.at, format!("{name} takes texts, numbers and addresses, and this is {kind}: write join(…)")),
        }
    }

    /// A text that is written out.
    fn written(&mut self, name: &str, filled: bool) -> Parsed<Vec<u8>> {
        self.scan.skip();
        let from = self.scan.at;
        if !self.scan.is_text() {
            return self.scan.wrong(from, format!("{name} takes a text in quotes here, and nothing that depends on the request"));
        }
        let text = self.scan.text()?;
        if filled && text.is_empty() {
            return self.scan.wrong(from, format!("this text of {name} is empty"));
        }
        Ok(text)
    }

    /// A number that is written out.
    fn number(&mut self, name: &str) -> Parsed<i64> {
        let argument = self.single(name, INT)?;
        match argument.term {
            Term::Literal(Value::Int(number)) => Ok(number),
            _ => self.scan.wrong(argument.at, format!("{name} takes a number here that does not depend on the request")),
        }
    }

    fn bits(&mut self, name: &str, most: u8) -> Parsed<u8> {
        let from = self.scan.at;
        let bits = self.number(name)?;
        match u8::try_from(bits) {
            Ok(bits) if (1..=most).contains(&bits) => Ok(bits),
            _ => self.scan.wrong(from, format!("{name} takes 1 to {most} bits here")),
        }
    }

    /// Letters in a text behind a comma, if there are any.
    fn flags(&mut self, name: &str, known: &str) -> Parsed<Vec<u8>> {
        if !self.eats_comma() {
            return Ok(Vec::new());
        }
        self.scan.skip();
        let from = self.scan.at;
        let flags = self.written(name, false)?;
        if flags.iter().all(|flag| known.as_bytes().contains(flag)) {
            return Ok(flags);
        }
        self.scan.wrong(from, format!("the options of {name} are letters out of {known:?}"))
    }

    fn template(&mut self, name: &str, groups: usize) -> Parsed<Template> {
        self.scan.skip();
        let from = self.scan.at;
        let text = self.written(name, false)?;
        match Template::new(&text, groups) {
            Ok(template) => Ok(template),
            Err(why) => self.scan.wrong(from, why),
        }
    }

    /// Both replace, and one of them once: what replaces the result of a replacement grows fast.
    fn replaces(&mut self, name: &str, at: usize) -> Parsed<()> {
        if std::mem::replace(&mut self.replaces, true) {
            return self
                .scan
                .wrong(at, format!("an expression has one regex_replace or wildcard_replace, and {name} is the second"));
        }
        self.scan.skip();
        Ok(())
    }

    /// Keys and places in a JSON text, one at least.
    fn steps(&mut self, name: &str) -> Parsed<Vec<Step>> {
        let mut steps = Vec::new();
        while self.eats_comma() {
            self.scan.skip();
            let from = self.scan.at;
            if self.scan.is_text() {
                let key = self.written(name, false)?;
                match String::from_utf8(key) {
                    Ok(key) => steps.push(Step::Key(key)),
                    Err(_) => return self.scan.wrong(from, "a member's name is UTF-8"),
                }
            } else {
                match usize::try_from(self.number(name)?) {
                    Ok(index) => steps.push(Step::Index(index)),
                    Err(_) => return self.scan.wrong(from, "items are counted from 0"),
                }
            }
            self.few(name, steps.len())?;
        }
        if steps.is_empty() {
            return self
                .scan
                .wrong(self.scan.at, format!("{name} takes the name of a member behind the text, as in {name}(…, \"id\")"));
        }
        Ok(steps)
    }

    fn few(&self, name: &str, count: usize) -> Parsed<()> {
        if count > ARGUMENTS_MAX {
            return self.scan.wrong(self.scan.at, format!("{name} takes at most {ARGUMENTS_MAX} arguments"));
        }
        Ok(())
    }

    fn comma(&mut self, name: &str) -> Parsed<()> {
        self.scan.expect(",", &format!("before the next argument of {name}"))?;
        self.scan.skip();
        Ok(())
    }

    fn eats_comma(&mut self) -> bool {
        self.scan.skip();
        let eats = self.scan.eat(",");
        self.scan.skip();
        eats
    }
}
