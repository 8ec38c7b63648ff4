//! Names that a person perhaps meant.

/// At most so many are offered.
const OFFERED: usize = 3;

/// The names that are near `name`, nearest first, at most three: by a few typing mistakes (a third
/// of its length, at least two), or where one is the beginning of the other.
pub fn near<'a>(name: &str, names: impl IntoIterator<Item = &'a str>) -> Vec<String> {
    let asked = name.to_lowercase();
    let limit = (asked.chars().count() / 3).max(2);
    let mut found: Vec<(usize, &str)> = names
        .into_iter()
        .filter_map(|it| {
            let other = it.to_lowercase();
            let distance = strsim::osa_distance(&asked, &other);
            let begins = !asked.is_empty() && other.starts_with(&asked)
                || !other.is_empty() && asked.starts_with(&other);
            (distance <= limit || begins).then_some((distance, it))
        })
        .collect();
    found.sort_unstable();
    found.dedup();
    found.truncate(OFFERED);
    found.into_iter().map(|(_, it)| it.to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::near;

    #[test]
    fn mistakes_of_typing_are_near_and_other_words_are_not() {
        let names = ["inference-ingress", "infrence", "shop", "inference"];
        assert_eq!(
            near("inferense-ingress", names),
            ["inference-ingress"],
            "one letter"
        );
        assert_eq!(
            near("inference", names),
            ["inference", "infrence", "inference-ingress"],
            "nearest first, longer names last"
        );
        assert_eq!(
            near("sohp", names),
            ["shop"],
            "two letters swapped are one mistake"
        );
        assert!(near("payments", names).is_empty());
        assert!(near("", names).is_empty());
    }

    #[test]
    fn no_more_than_three() {
        let names = ["a1", "a2", "a3", "a4"];
        assert_eq!(near("a5", names), ["a1", "a2", "a3"]);
    }
}
