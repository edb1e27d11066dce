//! Pages of long listings.

use fleetline_shared::ports::Page;
use serde::Deserialize;
use utoipa::IntoParams;

use super::problem::Problem;

/// Which part of a listing to answer.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct PageParams {
    /// `next` of the page before; left out for the first.
    after: Option<String>,
    /// Described where its maximum is.
    #[param(ignore)]
    limit: Option<usize>,
}

impl PageParams {
    /// The page, of `usual` rows if nothing is said and never more than `most`.
    pub(super) fn page(&self, usual: usize, most: usize) -> Result<Page, Problem> {
        let after = match &self.after {
            None => 0,
            Some(text) => text
                .parse()
                .ok()
                .filter(|after| *after >= 0)
                .ok_or_else(|| Problem::bad_request("`after` is what an earlier page gave as `next`"))?,
        };
        let limit = self.limit.unwrap_or(usual);
        if !(1..=most).contains(&limit) {
            return Err(Problem::bad_request(format!("`limit` is 1 to {most}")));
        }
        Ok(Page { after, limit })
    }
}

/// `next` of a page that ends with this row; `None` if it was the last.
pub(super) fn next(page: Page, rows: usize, last: Option<i64>) -> Option<String> {
    last.filter(|_| rows == page.limit).map(|position| position.to_string())
}
