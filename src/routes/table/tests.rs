use super::*;
use crate::routes::{Action, CatalogueFormat, Category, PRESETS};
use http::{HeaderMap, HeaderValue};
use proptest::prelude::*;
use std::sync::LazyLock;

fn preset(name: &str) -> Catalogue {
    Catalogue::preset(name).unwrap()
}

fn table(names: &[&str], api_host: &str) -> RouteTable {
    let catalogues: Vec<Catalogue> = names.iter().map(|name| preset(name)).collect();
    RouteTable::build(&catalogues, api_host).unwrap()
}

/// A catalogue of `METHOD /template` rows; `@host` behind it names a host.
fn catalogue(name: &str, rows: &[&str]) -> Catalogue {
    let row = |row: &&str| {
        let (row, host) = row.split_once('@').unwrap_or((row, ""));
        let (method, template) = row.trim().split_once(' ').unwrap();
        let hosts = if host.is_empty() { String::new() } else { format!(r#","hosts":["{host}"]"#) };
        format!(r#"{{"method":"{method}","template":"{template}","resource":"R","action":"Read"{hosts}}}"#)
    };
    let rows: Vec<String> = rows.iter().map(row).collect();
    let text = format!(r#"{{"name":"{name}","routes":[{}]}}"#, rows.join(","));
    Catalogue::parse(name, &text, CatalogueFormat::Json).unwrap()
}

fn found<'t>(table: &'t RouteTable, method: &str, path: &str) -> Option<&'t Route> {
    table.find(method.as_bytes(), path.as_bytes()).map(|matched| table.route(matched.route))
}

fn template<'t>(table: &'t RouteTable, method: &str, path: &str) -> Option<&'t str> {
    found(table, method, path).map(|route| route.template.as_str())
}

fn problems(catalogues: &[Catalogue]) -> Vec<String> {
    RouteTable::build(catalogues, "").unwrap_err().iter().map(ToString::to_string).collect()
}

#[test]
fn presets_build_alone_and_together_for_any_host() {
    let names: Vec<&str> = PRESETS.iter().map(|(name, _)| *name).collect();
    for host in
        ["api.contentful.com", "cdn.contentful.com:443", "blog.microcms.io", "127.0.0.1", "[::1]:80", ""]
    {
        for name in &names {
            assert!(!table(&[name], host).is_empty());
        }
        let all = table(&names, host);
        assert_eq!(all.namespace(), Some("contentful"));
        assert!(all.api_key_headers().contains(&HeaderName::from_static("x-microcms-api-key")));
        assert!(all.secret_headers().contains(&HeaderName::from_static("x-contentful-resource-resolution")));
        assert_eq!(all.secret_query(), ["access_token", "draftKey", "token", "policy"]);
        assert_eq!(all.request_id_headers(), [HeaderName::from_static("x-contentful-request-id")]);
        assert_eq!(all.user_agent_headers().len(), 1);
    }
}

#[test]
fn static_segments_win_and_a_dead_end_is_left_again() {
    let table = RouteTable::build(
        &[catalogue("c", &["GET /a/:x", "GET /a/b", "POST /a/:x", "GET /:y/b/:z/d", "GET /a/b/c", "GET /"])],
        "",
    )
    .unwrap();
    assert_eq!(template(&table, "GET", "/a/b"), Some("/a/b"));
    assert_eq!(template(&table, "GET", "/a/c"), Some("/a/:x"));
    assert_eq!(template(&table, "POST", "/a/b"), Some("/a/:x"));
    assert_eq!(template(&table, "GET", "/a/b/c"), Some("/a/b/c"));
    assert_eq!(template(&table, "GET", "/a/b/c/d"), Some("/:y/b/:z/d"));
    assert_eq!(template(&table, "GET", "/"), Some("/"));
    assert_eq!(&table.find(b"GET", b"/a/b/c/d").unwrap().parameters[..], [&b"a"[..], b"c"]);
    for (method, path) in
        [("PUT", "/a/b"), ("get", "/a/b"), ("GET", ""), ("GET", "a/b"), ("GET", "*"), ("", "/a")]
    {
        assert_eq!(template(&table, method, path), None, "{method} {path}");
    }
}

#[test]
fn head_takes_the_get_row_unless_it_has_its_own() {
    let table =
        RouteTable::build(&[catalogue("c", &["GET /a", "GET /b", "HEAD /b", "POST /c"])], "").unwrap();
    assert_eq!(found(&table, "HEAD", "/a").unwrap().method, "GET");
    assert_eq!(found(&table, "HEAD", "/b").unwrap().method, "HEAD");
    assert!(found(&table, "HEAD", "/c").is_none());
}

#[test]
fn one_final_slash_makes_no_difference_and_odd_paths_match_nothing() {
    let table = table(&["contentful-delivery"], "cdn.contentful.com");
    assert_eq!(template(&table, "GET", "/spaces/s"), Some("/spaces/:space"));
    assert_eq!(template(&table, "GET", "/spaces/s/"), Some("/spaces/:space"));
    for odd in
        ["/spaces/s//", "/spaces//", "/spaces/../spaces/s", "/spaces/%2e", "/spaces/s%2Ft", "/spaces/a;b"]
    {
        assert_eq!(template(&table, "GET", odd), None, "{odd}");
    }
    assert_eq!(template(&table, "GET", &"/spaces".repeat(100_000)), None);
}

#[test]
fn all_conflicts_are_told_at_once() {
    let found = problems(&[
        catalogue(
            "one",
            &["GET /a/:x/b", "GET /a/:y", "GET /d", "GET /d/", "GET /e @h.io", "GET /e @other.io"],
        ),
        catalogue("two", &["PUT /a/:z", "GET /e @H.IO", "GET /e @:any.io"]),
    ]);
    let expected = [
        "catalogue `one`, route 2 (GET /a/:y), key `template`: `:y` stands where route 1 of `one` (GET /a/:x/b) has `:x`",
        "catalogue `two`, route 1 (PUT /a/:z), key `template`: `:z` stands where route 1 of `one`",
        "catalogue `one`, route 4 (GET /d/), key `template`: the same method and template as route 3 of `one` (GET /d)",
        "catalogue `two`, route 2 (GET /e), key `template`: the same method and template as route 5 of `one`",
        "catalogue `two`, route 3 (GET /e), key `template`: the same method and template as route 5 of `one`",
    ];
    assert_eq!(found.len(), expected.len(), "{found:#?}");
    for (found, expected) in found.iter().zip(expected) {
        assert!(found.starts_with(expected), "{found}");
    }
}

#[test]
fn rows_of_the_named_host_come_first_and_without_a_name_hosts_are_ignored() {
    let both = ["contentful-management", "contentful-delivery"];
    let entries = "/spaces/s/environments/e/entries";
    let category = |host| found(&table(&both, host), "GET", entries).unwrap().category;
    assert_eq!(category("api.contentful.com"), Some(Category::Content));
    assert_eq!(category("CDN.contentful.com."), Some(Category::Delivery));
    assert_eq!(category("preview.eu.contentful.com:443"), Some(Category::Delivery));
    assert_eq!(category("localhost"), Some(Category::Content));
    // A row of another host still serves where no row of this one matches.
    assert!(found(&table(&both, "cdn.contentful.com"), "PUT", "/spaces/s/api_keys/k").is_some());

    // The content API has an endpoint of any name, `media` too; the management API has /media itself.
    let media = |host| template(&table(&["microcms"], host), "GET", "/api/v1/media").unwrap().to_owned();
    assert_eq!(media("blog.microcms.io"), "/api/v1/:endpoint");
    assert_eq!(media("blog.microcms-management.io"), "/api/v1/media");
    assert_eq!(media("127.0.0.1:8080"), "/api/v1/media");
    assert_eq!(media("a.blog.microcms.io"), "/api/v1/media");
}

#[test]
fn a_row_without_host_is_for_every_host_but_yields_to_one_that_names_it() {
    let catalogues =
        [catalogue("any", &["GET /a", "GET /b"]), catalogue("named", &["GET /a @h", "GET /:x @g"])];
    let by_host = |host| {
        let table = RouteTable::build(&catalogues, host).unwrap();
        [
            found(&table, "GET", "/a").unwrap().catalogue.clone(),
            found(&table, "GET", "/b").unwrap().catalogue.clone(),
        ]
    };
    assert_eq!(by_host("h"), ["named", "any"]);
    assert_eq!(by_host("elsewhere"), ["any", "any"]);
    assert_eq!(by_host("g"), ["named", "named"].map(|_| "any").map(str::to_owned));
}

#[test]
fn a_route_says_where_its_ids_are_and_what_no_environment_means() {
    let table = table(&["contentful-management"], "api.contentful.com");
    let entry = found(&table, "GET", "/spaces/s/environments/e/entries/x").unwrap();
    assert_eq!(
        (entry.organization, entry.space, entry.environment, entry.resource),
        (None, Some(0), Some(1), Some(2))
    );
    assert_eq!(entry.default_environment, None);
    assert_eq!(entry.request_id_header.as_ref().unwrap(), "x-contentful-request-id");
    let alias = found(&table, "GET", "/spaces/s/entries/x").unwrap();
    assert_eq!(alias.default_environment.as_deref(), Some("master"));
    // The keys of a space belong to no environment.
    let keys = found(&table, "POST", "/spaces/s/api_keys").unwrap();
    assert_eq!(
        (keys.default_environment.as_deref(), keys.flags & Route::SENSITIVE),
        (None, Route::SENSITIVE)
    );
    let team = found(&table, "GET", "/organizations/o/teams/t").unwrap();
    assert_eq!((team.organization, team.resource), (Some(0), Some(1)));
}

#[test]
fn a_resource_is_named_by_the_path_or_by_the_query() {
    let table = table(&["contentful-delivery"], "cdn.contentful.com");
    let id = |path: &str, query: &str| {
        let matched = table.find(b"GET", path.as_bytes()).unwrap();
        let id = table.route(matched.route).resource_id(&matched.parameters, query.as_bytes());
        id.map(|id| String::from_utf8(id.into_owned()).unwrap())
    };
    assert_eq!(id("/spaces/s/environments/e/entries/x", "sys.id=y").as_deref(), Some("x"));
    assert_eq!(id("/spaces/s/environments/e/entries", "limit=1&sys.id=y%2Bz").as_deref(), Some("y+z"));
    assert_eq!(id("/spaces/s/environments/e/entries", "limit=1"), None);
    assert_eq!(id("/spaces/s/environments/e/tags", "sys.id=y"), None);
}

#[test]
fn variants_that_show_in_the_heads_change_the_action_and_others_do_not() {
    let table = table(&["contentful-management"], "api.contentful.com");
    let without = HeaderMap::new();
    let mut with = HeaderMap::new();
    with.insert("X-Contentful-Version", HeaderValue::from_static("1"));
    let entry = found(&table, "PUT", "/spaces/s/environments/e/entries/x").unwrap();
    let decided =
        |route: &Route, headers: &HeaderMap, status| route.settle(route.weigh(headers), status).decided();
    assert_eq!(decided(entry, &without, Some(201)), Some(Action::Create));
    assert_eq!(decided(entry, &with, Some(200)), Some(Action::Update));
    let installation = found(&table, "PUT", "/spaces/s/environments/e/app_installations/a").unwrap();
    assert_eq!(decided(installation, &without, Some(201)), Some(Action::Create));
    assert_eq!(decided(installation, &without, Some(200)), Some(Action::Update));
    assert_eq!(decided(installation, &without, None), Some(Action::Update));
    // "remove" in the body would make it an unpublish.
    let published = found(&table, "PUT", "/spaces/s/environments/e/entries/x/published").unwrap();
    let settled = published.settle(published.weigh(&without), Some(200));
    assert_eq!((settled.decided(), settled.otherwise()), (None, Action::Publish));
    assert_eq!(settled.candidates(published).collect::<Vec<_>>(), [Action::Unpublish, Action::Publish]);
    assert_eq!(settled.without_request_body(published).decided(), Some(Action::Publish));
}

#[test]
fn a_row_that_replaces_another_stands_in_its_place_and_must_find_one() {
    let own = |template: &str| {
        let text = format!(
            "name = \"own\"\n[[routes]]\nmethod = \"PUT\"\ntemplate = \"{template}\"\nresource = \"Entry\"\n\
             resource_param = \"entry\"\naction = \"Publish\"\ncategory = \"access\"\nreplaces = true\n"
        );
        Catalogue::parse("own", &text, CatalogueFormat::Toml).unwrap()
    };
    let preset = Catalogue::preset("contentful-management").unwrap();
    let template = "/spaces/:space/environments/:environment/entries/:entry/published";
    let table = RouteTable::build(&[preset.clone(), own(template)], "api.contentful.com").unwrap();
    assert_eq!(table.len(), preset.len());
    let route = found(&table, "PUT", "/spaces/s/environments/e/entries/x/published").unwrap();
    assert_eq!((route.catalogue.as_str(), route.category), ("own", Some(Category::Access)));
    let problems = RouteTable::build(&[preset, own("/spaces/:space/entrys/:entry")], "api.contentful.com");
    let problems = problems.unwrap_err();
    assert!(
        problems[0].to_string().ends_with(
            "key `replaces`: no other catalogue of this source has a route of this method and template"
        ),
        "{problems:?}"
    );
}

struct Case {
    table: RouteTable,
    catalogues: Vec<Catalogue>,
    host: &'static str,
}

static CASES: LazyLock<Vec<Case>> = LazyLock::new(|| {
    let sets: [(&[&str], &str); 5] = [
        (&["contentful-management"], "api.contentful.com"),
        (&["contentful-delivery"], "cdn.contentful.com"),
        (&["microcms"], "blog.microcms.io"),
        (&["contentful-management", "contentful-delivery", "microcms"], "cdn.contentful.com"),
        (&["microcms", "contentful-delivery", "contentful-management"], "localhost"),
    ];
    let case = |(names, host): (&[&str], &'static str)| Case {
        table: table(names, host),
        catalogues: names.iter().map(|name| preset(name)).collect(),
        host,
    };
    sets.into_iter().map(case).collect()
});

/// What the trie should find, by trying every row.
fn by_trying_all<'c>(case: &'c Case, method: &str, path: &str) -> Option<&'c Route> {
    if !path.starts_with('/') || paths::is_odd(path.as_bytes()) {
        return None;
    }
    let inner = path[1..].strip_suffix('/').unwrap_or(&path[1..]);
    let parts: Vec<&str> = if inner.is_empty() { Vec::new() } else { inner.split('/').collect() };
    let names = |row: &Row| {
        row.hosts.iter().any(|host| match host.strip_prefix(":service") {
            Some(domain) => case.host.strip_suffix(domain).is_some_and(|label| !label.contains('.')),
            None => host == case.host,
        })
    };
    let rows = || case.catalogues.iter().flat_map(|catalogue| &catalogue.rows);
    let hosts_count = rows().any(names);
    let best = |method: &str, near: bool| {
        let fits = |row: &&Row| {
            let segments = template_segments(&row.route.template);
            (!hosts_count || row.hosts.is_empty() || names(row)) == near
                && row.route.method == method
                && segments.len() == parts.len()
                && segments
                    .iter()
                    .zip(&parts)
                    .all(|(segment, part)| segment.starts_with(':') || segment == part)
        };
        // Static before placeholder, the front first; then the earlier catalogue.
        let placeholders = |row: &&Row| -> Vec<bool> {
            template_segments(&row.route.template).iter().map(|segment| segment.starts_with(':')).collect()
        };
        rows().filter(fits).min_by_key(placeholders).map(|row| &row.route)
    };
    [true, false].into_iter().find_map(|near| {
        best(method, near).or_else(|| if method == "HEAD" { best("GET", near) } else { None })
    })
}

/// Segments of real templates, ids, and what servers trip over.
fn segment() -> impl Strategy<Value = String> {
    static WORDS: LazyLock<Vec<String>> = LazyLock::new(|| {
        let mut words: Vec<String> = CASES[3]
            .table
            .routes()
            .iter()
            .flat_map(|route| {
                template_segments(&route.template).into_iter().map(str::to_owned).collect::<Vec<_>>()
            })
            .collect();
        words.sort();
        words.dedup();
        words
    });
    prop_oneof![
        6 => prop::sample::select(&WORDS[..]),
        3 => "[a-zA-Z0-9_~.-]{1,12}",
        1 => prop::sample::select(vec!["", ".", "..", "%2f", "a%20b", "a;b", "\\", "é"]).prop_map(str::to_owned),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn the_trie_finds_what_trying_every_row_finds(
        which in 0..5usize,
        method in prop::sample::select(vec!["GET", "HEAD", "PUT", "POST", "DELETE", "PATCH", "OPTIONS"]),
        base in any::<prop::sample::Index>(),
        changes in prop::collection::vec((0..12usize, segment()), 0..3),
        slash: bool,
    ) {
        let case = &CASES[which];
        let table = &case.table;
        let base = base.get(table.routes());
        let mut parts: Vec<String> =
            template_segments(&base.template).iter().map(|segment| segment.trim_start_matches(':').to_owned()).collect();
        for (at, part) in changes {
            if at < parts.len() { parts[at] = part } else { parts.push(part) }
        }
        let path = format!("/{}{}", parts.join("/"), if slash { "/" } else { "" });
        let expected = by_trying_all(case, method, &path);
        let matched = table.find(method.as_bytes(), path.as_bytes());
        prop_assert_eq!(matched.as_ref().map(|matched| table.route(matched.route)), expected, "{} {}", method, path);
        if let Some(matched) = matched {
            let route = table.route(matched.route);
            let mut given = matched.parameters.iter();
            let rebuilt: Vec<&[u8]> = template_segments(&route.template).iter().map(|segment| {
                if segment.starts_with(':') { *given.next().unwrap() } else { segment.as_bytes() }
            }).collect();
            let rebuilt = [&b"/"[..], &rebuilt.join(&b'/')].concat();
            prop_assert_eq!(rebuilt.trim_ascii(), path.strip_suffix('/').filter(|path| !path.is_empty()).unwrap_or(&path).as_bytes());
            prop_assert!(given.next().is_none());
        }
    }

    #[test]
    fn any_bytes_are_answered(method in prop::collection::vec(any::<u8>(), 0..8), path in prop::collection::vec(any::<u8>(), 0..80)) {
        for case in CASES.iter() {
            let matched = case.table.find(&method, &path);
            prop_assert!(matched.is_none() || !paths::is_odd(&path));
        }
    }
}

#[test]
fn every_row_matches_itself_at_its_own_host_with_ids_in_its_placeholders() {
    for (name, _) in PRESETS {
        let catalogue = preset(name);
        let mut tables: HashMap<String, RouteTable> = HashMap::new();
        for row in &catalogue.rows {
            let host = row.hosts[0].replace(":service", "blog");
            let table = tables.entry(host.clone()).or_insert_with(|| table(&[name], &host));
            for id in ["6KntaYXaHSyIw8M6eo26OK", "0-._~", "%C3%A9", "x:y"] {
                let parts: Vec<&str> = template_segments(&row.route.template)
                    .into_iter()
                    .map(|segment| if segment.starts_with(':') { id } else { segment })
                    .collect();
                for method in [&row.route.method, "HEAD"] {
                    if method == "HEAD" && row.route.method != "GET" {
                        continue;
                    }
                    let path = format!("/{}", parts.join("/"));
                    assert_eq!(found(table, method, &path), Some(&row.route), "{host}: {method} {path}");
                }
            }
        }
    }
}
