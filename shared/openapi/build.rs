//! Makes each document of infra/openapi/ self-contained, and unpacks the files of Swagger UI that the page needs.

use std::collections::BTreeSet;
use std::env;
use std::fs;
use std::io::{Cursor, Read};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};
use utoipa_swagger_ui_vendored::SWAGGER_UI_VENDORED;
use yaml_serde::{Mapping, Value};
use zip::ZipArchive;

const SERVICES: [&str; 4] = ["orders", "inventory", "payments", "relay"];

const METHODS: [&str; 5] = ["get", "post", "put", "patch", "delete"];

const PROBLEM: &str = "application/problem+json";

fn main() {
    // Cargo runs this in the folder of the package.
    let sources = Path::new("../../infra/openapi");
    println!("cargo::rerun-if-changed={}", sources.display());
    println!("cargo::rerun-if-changed=src");
    let page = fs::read_to_string("src/page.html").expect("the page can be read");
    for service in SERVICES {
        let document = bundle(sources, service);
        let title = document["info"]["title"].as_str().expect("a document has a title");
        write(&format!("{service}.html"), page.replace("TITLE", title).as_bytes());
        let json = serde_json::to_vec(&document).expect("a document is JSON");
        write(&format!("{service}.json"), &json);
    }
    write("start.js", &fs::read("src/start.js").expect("the script can be read"));
    let mut swagger =
        ZipArchive::new(Cursor::new(SWAGGER_UI_VENDORED)).expect("Swagger UI comes as a zip");
    for (name, from) in
        [("swagger-ui.js", "dist/swagger-ui-bundle.js"), ("swagger-ui.css", "dist/swagger-ui.css")]
    {
        write(name, &unpack(&mut swagger, from));
    }
}

/// Writes a file for `include_str!`, and its tag into a file beside it.
fn write(name: &str, content: &[u8]) {
    let folder = PathBuf::from(env::var_os("OUT_DIR").expect("cargo says where"));
    let tag = format!("\"{}\"", hex::encode(&Sha256::digest(content)[..8]));
    fs::write(folder.join(name), content).expect("the build folder can be written");
    fs::write(folder.join(format!("{name}.etag")), tag).expect("the build folder can be written");
}

fn unpack(archive: &mut ZipArchive<Cursor<&[u8]>>, path: &str) -> Vec<u8> {
    let suffix = format!("/{path}");
    let mut names = archive.file_names().filter_map(Result::ok).map(|name| name.into_owned());
    let name = names.find(|name| name.ends_with(&suffix));
    drop(names);
    let name = name.unwrap_or_else(|| panic!("Swagger UI has no {path}"));
    let mut file = archive.by_name(&name).expect("the zip can be read");
    let mut content = Vec::new();
    file.read_to_end(&mut content).expect("the zip can be read");
    // The maps of the sources are not served.
    let text = String::from_utf8(content).expect("it is text");
    let lines = text.lines().filter(|line| !line.contains("# sourceMappingURL="));
    lines.collect::<Vec<_>>().join("\n").into_bytes()
}

fn bundle(sources: &Path, service: &str) -> Value {
    let read = |name: &str| -> Value {
        let path = sources.join(name);
        let text = fs::read_to_string(&path).expect("the document can be read");
        let text = text.replace("common.yaml#/", "#/");
        yaml_serde::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    };
    let (common, own) = (read("common.yaml"), read(&format!("{service}.yaml")));
    let mut document = common["everyDocument"].clone();
    add(&mut document, &own);
    for list in ["components", "paths"] {
        add(&mut document[list], &common[list]);
    }
    let paths = document["paths"].as_mapping_mut().expect("a document has paths");
    for (_, path) in paths.iter_mut() {
        for method in METHODS {
            if let Some(operation) = path.get_mut(method) {
                add_parameters(operation, &common["everyOperation"]);
                if method == "get" {
                    add_parameters(operation, &common["everyRead"]);
                    add(&mut operation["responses"], &common["everyRead"]["responses"]);
                }
                say_who_may(operation);
                add(&mut operation["responses"], &common["everyOperation"]["responses"]);
                for (_, response) in operation["responses"].as_mapping_mut().into_iter().flatten() {
                    add_headers(response, &common);
                }
            }
        }
    }
    for (_, response) in document["components"]["responses"].as_mapping_mut().into_iter().flatten()
    {
        add_headers(response, &common);
    }
    name_problems(&mut document);
    sort_out(&mut document);
    document
}

/// Gives the schema of a shared problem a name of its own, so that a generated client has one type for it and not one
/// for each operation that answers with it.
fn name_problems(document: &mut Value) {
    let mut named = Mapping::new();
    for (name, response) in
        document["components"]["responses"].as_mapping_mut().into_iter().flatten()
    {
        let Some(content) = response.get_mut("content") else { continue };
        let Some(schema) = content.get_mut(PROBLEM).and_then(|content| content.get_mut("schema"))
        else {
            continue;
        };
        if schema.get("$ref").is_none() {
            let name = format!("{}Problem", name.as_str().unwrap_or_default());
            let mut reference = Mapping::new();
            reference.insert("$ref".into(), format!("#/components/schemas/{name}").into());
            named.insert(name.into(), std::mem::replace(schema, reference.into()));
        }
    }
    add(&mut document["components"]["schemas"], &named.into());
}

fn add_parameters(operation: &mut Value, every: &Value) {
    match (operation["parameters"].as_sequence_mut(), every["parameters"].clone()) {
        (Some(list), Value::Sequence(every)) => list.extend(every),
        (_, every) => operation["parameters"] = every,
    }
}

/// Adds the roles to the description, because readers do not see `x-roles`.
fn say_who_may(operation: &mut Value) {
    let Some(roles) = operation.get("x-roles").and_then(Value::as_sequence) else { return };
    let roles: Vec<_> = roles.iter().filter_map(Value::as_str).collect();
    let said = operation["description"].as_str().map(|said| format!("{said} ")).unwrap_or_default();
    operation["description"] = format!("{said}Roles: {}.", roles.join(", ")).into();
}

/// Adds to `to` what only `of` has, at any depth of mappings.
fn add(to: &mut Value, of: &Value) {
    match (to, of) {
        (Value::Mapping(to), Value::Mapping(of)) => {
            for (key, value) in of {
                match to.get_mut(key) {
                    // Two answers with the same status, or two references, are not merged.
                    Some(there) if there.get("$ref").is_none() && value.get("$ref").is_none() => {
                        add(there, value);
                    }
                    Some(_) => {}
                    None => {
                        to.insert(key.clone(), value.clone());
                    }
                }
            }
        }
        (to @ Value::Null, of) => *to = of.clone(),
        _ => {}
    }
}

fn add_headers(response: &mut Value, common: &Value) {
    let of_gateway = response.get("x-of-gateway").is_some();
    let every = if of_gateway { "everyAnswerOfGateway" } else { "everyAnswer" };
    if let Value::Mapping(response) = response
        && !response.contains_key("$ref")
    {
        let headers = response.entry("headers".into()).or_insert(Value::Mapping(Mapping::new()));
        add(headers, &common[every]["headers"]);
    }
}

/// Removes the components that nothing refers to.
fn sort_out(document: &mut Value) {
    loop {
        let mut used = BTreeSet::new();
        references(document, &mut used);
        let mut removed = false;
        let components = document["components"].as_mapping_mut().expect("there are components");
        for (kind, list) in components.iter_mut() {
            let kind = kind.as_str().unwrap_or_default().to_owned();
            if kind == "securitySchemes" {
                continue;
            }
            let list = list.as_mapping_mut().expect("components have names");
            let before = list.len();
            list.retain(|name, _| {
                used.contains(&format!("#/components/{kind}/{}", name.as_str().unwrap_or_default()))
            });
            removed |= list.len() < before;
        }
        components.retain(|_, list| list.as_mapping().is_some_and(|list| !list.is_empty()));
        if !removed {
            return;
        }
    }
}

fn references(value: &Value, found: &mut BTreeSet<String>) {
    match value {
        Value::Mapping(mapping) => {
            for (key, value) in mapping {
                if let (Some("$ref"), Some(reference)) = (key.as_str(), value.as_str()) {
                    found.insert(reference.to_owned());
                }
                references(value, found);
            }
        }
        Value::Sequence(values) => values.iter().for_each(|value| references(value, found)),
        _ => {}
    }
}
