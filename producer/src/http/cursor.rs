//! Pages of long listings.

use fleetline_shared::ports::Page;

use super::problem::Problem;

/// The page after `after` of `limit` rows: of `usual` if nothing is said, and never more than `most`.
pub(super) fn page(
    after: Option<&str>,
    limit: Option<usize>,
    (usual, most): (usize, usize),
) -> Result<Page, Problem> {
    let after = match after {
        None => 0,
        Some(text) => text
            .parse()
            .ok()
            .filter(|after| *after >= 0)
            .ok_or_else(|| Problem::bad_request("`after` is what an earlier page gave as `next`"))?,
    };
    let limit = limit.unwrap_or(usual);
    if !(1..=most).contains(&limit) {
        return Err(Problem::bad_request(format!("`limit` is 1 to {most}")));
    }
    Ok(Page { after, limit })
}

/// `next` of a page that ends with this row; `None` if it was the last.
pub(super) fn next(page: Page, rows: usize, last: Option<i64>) -> Option<String> {
    last.filter(|_| rows == page.limit).map(|position| position.to_string())
}
