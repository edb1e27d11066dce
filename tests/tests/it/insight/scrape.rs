//! What Prometheus would read.

/// The samples of one look.
pub(super) struct Scrape(String);

impl Scrape {
    pub(super) async fn of(address: &str) -> Self {
        let answer = reqwest::get(address).await.expect("an answer");
        assert_eq!(answer.status(), 200);
        let kind = answer.headers()["content-type"].to_str().expect("text").to_owned();
        assert!(kind.starts_with("application/openmetrics-text"), "{kind}");
        let text = answer.text().await.expect("a text");
        assert!(text.ends_with("# EOF\n"), "{text}");
        Self(text)
    }

    /// Each family's name as samples have it.
    pub(super) fn families(&self) -> Vec<String> {
        let family = |line: &str| {
            let (name, kind) = line.strip_prefix("# TYPE ")?.split_once(' ')?;
            Some(if kind == "counter" { format!("{name}_total") } else { name.to_owned() })
        };
        self.0.lines().filter_map(family).collect()
    }

    /// The whole part of the sample that has all these labels.
    pub(super) fn value(&self, name: &str, labels: &[(&str, &str)]) -> u64 {
        let found = self.samples(name).find(|(found, _)| {
            labels.iter().all(|(label, value)| found.contains(&format!("{label}=\"{value}\"")))
        });
        found.unwrap_or_else(|| panic!("no {name} with {labels:?}:\n{}", self.0)).1
    }

    /// Over all labels.
    pub(super) fn sum(&self, name: &str) -> u64 {
        self.samples(name).map(|(_, value)| value).sum()
    }

    fn samples<'a>(&'a self, name: &'a str) -> impl Iterator<Item = (&'a str, u64)> {
        self.0.lines().filter_map(move |line| {
            let (labels, value) = line.strip_prefix(name)?.rsplit_once(' ')?;
            let is_whole = labels.is_empty() || labels.starts_with('{');
            let whole = value.split('.').next()?.parse().ok()?;
            Some((labels, whole)).filter(|_| is_whole)
        })
    }
}
