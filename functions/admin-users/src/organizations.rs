//! `GET /api/admin/organizations`: the organizations that there are, for whoever looks for one.

use serde::{Deserialize, Serialize};
use shared::db::Db;
use shared::db::organizations::{Listed, Place};
use shared::http::{Request, Response};
use shared::{Result, http};

use crate::{parse_cursor, parse_limit, refuse_values};

#[derive(Deserialize)]
struct ListQuery {
    search: Option<String>,
    cursor: Option<String>,
    limit: Option<u32>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct OrganizationPage {
    organizations: Vec<Listed>,
    next_cursor: Option<String>,
}

pub(crate) async fn list(db: &Db, request: &Request) -> Result<Response> {
    let query: ListQuery = http::query(request)?;
    let limit = parse_limit(query.limit)?;
    let place = parse_cursor(query.cursor.as_deref(), Place::from_cursor)?;
    let search = query.search.as_deref().filter(|text| !text.is_empty());
    let page = db.list_organizations(search, place.as_ref(), limit).await;
    let page = page.map_err(refuse_values)?;
    http::ok(&OrganizationPage {
        next_cursor: page.next.as_ref().map(Place::to_cursor),
        organizations: page.organizations,
    })
}
