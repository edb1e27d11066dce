//! What is wrong with a request, told within bounds: a small one can have a million problems.

use serde::Serialize;
use utoipa::ToSchema;

/// Problems of one request that are told at most.
pub(crate) const MOST_PROBLEMS: usize = 100;
/// Characters of the name of a field or a kind.
pub(super) const LONGEST_NAME: usize = 100;
/// Characters of what is wrong with it: it may have the caller's own text in it.
const LONGEST_DETAIL: usize = 1_000;

/// What is wrong with one job of a request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[schema(example = json!({
    "index": 2, "field": "kind", "detail": "there is no kind `log.analyse`; there are log.analyze, node.extract"
}))]
pub struct JobProblem {
    /// The job's number in the request, from 0.
    pub index: usize,
    /// The field; empty if it is about the job as a whole.
    pub field: String,
    /// What is wrong, and what would be right.
    pub detail: String,
}

impl JobProblem {
    pub(super) fn new(index: usize, field: &str, detail: impl Into<String>) -> Self {
        Self { index, field: short(field, LONGEST_NAME), detail: short(&detail.into(), LONGEST_DETAIL) }
    }
}

/// The beginning of a text that may be the caller's.
pub(super) fn short(text: &str, most: usize) -> String {
    match text.char_indices().nth(most) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text.to_owned(),
    }
}

/// What is wrong with the jobs of a request: the first problems, and how many more there are.
#[derive(Clone, Debug, Default)]
pub(super) struct Problems {
    kept: Vec<JobProblem>,
    more: usize,
}

impl Problems {
    pub(super) fn push(&mut self, problem: JobProblem) {
        if self.kept.len() < MOST_PROBLEMS {
            self.kept.push(problem);
        } else {
            self.more += 1;
        }
    }

    pub(super) fn count(&self) -> usize {
        self.kept.len() + self.more
    }

    /// In order of the jobs; the last one says how many are not told.
    pub(super) fn told(mut self) -> Vec<JobProblem> {
        self.kept.sort_by_key(|problem| problem.index);
        if let (Some(last), 1..) = (self.kept.last(), self.more) {
            let index = last.index;
            self.kept.push(JobProblem::new(index, "", format!("and {} more problems", self.more)));
        }
        self.kept
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_told_is_bounded() {
        let mut problems = Problems::default();
        for index in (0..5_000).rev() {
            problems.push(JobProblem::new(index, &"f".repeat(200), "é".repeat(2_000)));
        }
        assert_eq!(problems.count(), 5_000);
        let told = problems.told();
        assert_eq!(told.len(), MOST_PROBLEMS + 1);
        assert!(told.is_sorted_by_key(|problem| problem.index));
        assert_eq!(told[0].field.chars().count(), LONGEST_NAME + 3);
        assert_eq!(told[0].detail.chars().count(), LONGEST_DETAIL + 3);
        assert_eq!(told[MOST_PROBLEMS].detail, "and 4900 more problems");
    }

    #[test]
    fn few_are_all_told() {
        let mut problems = Problems::default();
        problems.push(JobProblem::new(2, "kind", "is missing"));
        problems.push(JobProblem::new(1, "args", "is missing"));
        let told: Vec<_> =
            problems.told().into_iter().map(|problem| (problem.index, problem.field)).collect();
        assert_eq!(told, [(1, "args".to_owned()), (2, "kind".to_owned())]);
    }
}
