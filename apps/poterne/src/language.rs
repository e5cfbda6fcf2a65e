//! The language the terminal speaks: French where the locale says so, English otherwise.

pub use poterne_page::Language;

/// What the locale variables say, in the order POSIX gives them: `LC_ALL`, `LC_MESSAGES`, `LANG`.
pub fn of_locale(variable: impl Fn(&str) -> Option<String>) -> Language {
    let locale = ["LC_ALL", "LC_MESSAGES", "LANG"].into_iter().find_map(|name| variable(name).filter(|value| !value.is_empty()));
    match locale.as_deref().map(|locale| locale.split(['_', '.', '@']).next().unwrap_or("")) {
        Some("fr") => Language::French,
        _ => Language::English,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn language(variables: &[(&str, &str)]) -> Language {
        of_locale(|name| variables.iter().find(|(n, _)| *n == name).map(|(_, v)| v.to_string()))
    }

    #[test]
    fn the_locale_decides() {
        assert_eq!(language(&[("LANG", "fr_FR.UTF-8")]), Language::French);
        assert_eq!(language(&[("LANG", "fr")]), Language::French);
        assert_eq!(language(&[("LANG", "fr_FR.UTF-8"), ("LC_ALL", "C")]), Language::English);
        assert_eq!(language(&[("LANG", "fr_FR.UTF-8"), ("LC_ALL", "")]), Language::French);
        assert_eq!(language(&[("LANG", "fur_IT")]), Language::English);
        assert_eq!(language(&[]), Language::English);
    }
}
