use super::*;

fn problems(text: &str) -> Vec<String> {
    Catalogue::parse("file.json", text, CatalogueFormat::Json)
        .unwrap_err()
        .iter()
        .map(ToString::to_string)
        .collect()
}

#[test]
fn every_preset_is_read_and_bears_the_name_of_its_file() {
    for (name, rows) in [("contentful-management", 566), ("contentful-delivery", 40), ("microcms", 20)] {
        let catalogue = Catalogue::preset(name).unwrap();
        assert_eq!((catalogue.name(), catalogue.len()), (name, rows));
        assert!(!catalogue.is_empty());
    }
    assert!(Catalogue::preset("no-such").is_none());
    let management = Catalogue::preset("contentful-management").unwrap();
    assert_eq!(management.namespace(), Some("contentful"));
    assert_eq!(management.api_host(), Some("api.contentful.com"));
}

#[test]
fn toml_and_json_say_the_same() {
    let toml = r#"
        name = "shop"
        space = ":shop"
        api_key_headers = ["X-Key"]
        categories = { Order = "content" }
        [[routes]]
        method = "PUT"
        template = "/shops/:shop/orders/:order"
        resource = "Order"
        resource_param = "order"
        action = "Update"
        sensitive = true
        variants = [{ when = { response_status = 201 }, action = "create" }]
    "#;
    let json = r#"{"name": "shop", "space": ":shop", "api_key_headers": ["x-key"], "categories": {"Order": "content"},
        "routes": [{"method": "PUT", "template": "/shops/:shop/orders/:order", "resource": "Order",
        "resource_param": "order", "action": "Update", "sensitive": true,
        "variants": [{"when": {"response_status": 201}, "action": "create"}]}]}"#;
    let toml = Catalogue::parse("a", toml, CatalogueFormat::Toml).unwrap();
    assert_eq!(toml, Catalogue::parse("a", json, CatalogueFormat::Json).unwrap());
    let route = &toml.rows[0].route;
    assert_eq!((route.space, route.resource, route.organization), (Some(0), Some(1), None));
    assert_eq!((route.category, route.flags), (Some(Category::Content), Route::SENSITIVE));
}

#[test]
fn every_mistake_is_told_at_once_with_its_row_and_key() {
    let found = problems(
        r#"{"name": "shop", "namespce": "x", "space": "shop", "api_key_headers": ["a b"], "categories": {"A": "b"},
        "routes": [
          {"method": "get", "template": "shops", "resource": 7, "action": "Read"},
          {"template": "/a/:x", "resource": "A", "resource_param": "y", "action": "Destroy", "category": "c"},
          {"method": "GET", "template": "/b", "resource": "B", "action": "Read", "bulk": "yes", "sensitve": true,
           "variants": [{"when": {}, "action": "Update"}, {"when": {"status": 1}, "action": "x"}, {"action": "Read"}]},
          9
        ]}"#,
    );
    let expected = [
        "catalogue `shop`, key `api_key_headers`: `a b` is not a header name",
        "catalogue `shop`, key `space`: `shop` is not written `:placeholder`",
        "catalogue `shop`, key `categories.A`: `b` is not a category: configuration, access, content, bulk, delivery",
        "catalogue `shop`, key `namespce`: unknown key; did you mean `namespace`?",
        "catalogue `shop`, route 1 (get shops), key `resource`: invalid type: integer `7`, expected a string",
        "catalogue `shop`, route 1 (get shops), key `method`: `get` is not a method in capital letters",
        "catalogue `shop`, route 1 (get shops), key `template`: `shops`: must begin with a slash",
        "catalogue `shop`, route 2, key `method`: missing",
        "catalogue `shop`, route 2 (/a/:x), key `action`: `Destroy` is not an action",
        "catalogue `shop`, route 2 (/a/:x), key `category`: `c` is not a category: configuration, access, content, bulk, delivery",
        "catalogue `shop`, route 3 (GET /b), key `bulk`: invalid type: string \"yes\", expected a boolean",
        "catalogue `shop`, route 3 (GET /b), key `variants.1.when`: no condition",
        "catalogue `shop`, route 3 (GET /b), key `variants.2.action`: `x` is not an action",
        "catalogue `shop`, route 3 (GET /b), key `variants.2.when.status`: unknown key",
        "catalogue `shop`, route 3 (GET /b), key `variants.2.when`: no condition",
        "catalogue `shop`, route 3 (GET /b), key `variants.3.when`: missing",
        "catalogue `shop`, route 3 (GET /b), key `sensitve`: unknown key; did you mean `sensitive`?",
        "catalogue `shop`, route 4: not a table but a number",
    ];
    for line in expected {
        assert!(found.iter().any(|problem| problem.starts_with(line)), "missing: {line}\nin: {found:#?}");
    }
}

#[test]
fn a_template_that_no_path_could_match_is_refused() {
    for (template, why) in [
        ("/a//b", "never matched"),
        ("/a/../b", "never matched"),
        ("/a;b", "never matched"),
        ("/a%2Fb", "never matched"),
        ("/a?b=c", "without query"),
        ("/a/{id}", "written `:name`"),
        ("/a/*", "written `:name`"),
        ("/a/:", "name of a placeholder"),
        ("/a/:x y", "name of a placeholder"),
        ("/:a/:a", "two placeholders"),
    ] {
        let text = format!(
            r#"{{"name":"n","routes":[{{"method":"GET","template":"{template}","resource":"R","action":"Read"}}]}}"#
        );
        let found = problems(&text);
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].contains(why), "{template}: {}", found[0]);
    }
    assert_eq!(template_fault(&"/a".repeat(64)), None);
    assert!(template_fault(&"/a".repeat(65)).is_some());
}

#[test]
fn text_in_no_known_form_is_one_problem() {
    assert!(problems("{").first().unwrap().starts_with("catalogue `file.json`: EOF"));
    assert!(problems("[]").iter().any(|problem| problem.ends_with("not a table but a list")));
    assert!(Catalogue::parse("f", "= 1", CatalogueFormat::Toml).is_err());
}
