//! Which word somebody meant who wrote another.

/// The most alike of some words, where at most three letters differ.
pub fn nearest<'w>(given: &str, words: impl Iterator<Item = &'w str>) -> Option<&'w str> {
    words
        .map(|word| (distance(given, word), word))
        .filter(|(letters, _)| *letters <= 3)
        .min_by_key(|(letters, _)| *letters)
        .map(|(_, word)| word)
}

/// How many letters differ (Levenshtein's distance). At most 64 letters of `given` are looked at.
fn distance(given: &str, known: &str) -> usize {
    let known: Vec<char> = known.chars().collect();
    let mut row: Vec<usize> = (0..=known.len()).collect();
    for (i, a) in given.chars().take(64).enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, b) in known.iter().enumerate() {
            let substituted = diagonal + usize::from(a != *b);
            diagonal = row[j + 1];
            row[j + 1] = substituted.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[known.len()]
}
