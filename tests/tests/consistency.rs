//! What has to say the same in more than one place: crates, template and state machine. Needs no cloud.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use cargo_metadata::{DependencyKind, Metadata, MetadataCommand, Package, TargetKind};
use trackops_testkit::workspace_root;
use yaml_serde::Value;

#[test]
fn every_binary_is_deployed_and_every_deployed_function_has_a_binary() {
    let metadata = metadata();
    let built: BTreeSet<&str> = metadata
        .workspace_packages()
        .into_iter()
        .filter(|package| layer(package) == "functions")
        .flat_map(|package| &package.targets)
        .filter(|target| target.kind.contains(&TargetKind::Bin))
        .map(|target| target.name.as_str())
        .collect();
    let template = template();
    let deployed: Vec<&str> = functions(&template).map(|(_, function)| binary(function)).collect();
    assert_eq!(built, deployed.iter().copied().collect());

    for binary in built {
        let times = deployed.iter().filter(|deployed| **deployed == binary).count();
        assert_eq!(times, if binary == "relay-events" { 3 } else { 1 }, "deployments of {binary}");
    }
}

#[test]
fn the_saga_calls_exactly_the_functions_that_nothing_else_calls() {
    let template = template();
    let machine = resources(&template)
        .find(|(_, resource)| resource["Type"] == "AWS::Serverless::StateMachine")
        .map(|(_, machine)| &machine["Properties"])
        .expect("the template has a state machine");
    let path = machine["DefinitionUri"].as_str().expect("the state machine has a file of its own");
    let asl = fs::read_to_string(workspace_root().join(path)).expect("that file is there");

    let mut given: BTreeMap<&str, &str> = BTreeMap::new();
    for (name, value) in mapping(&machine["DefinitionSubstitutions"]) {
        let function =
            referenced(value).unwrap_or_else(|| panic!("{name} stands for no function: {value:?}"));
        given.insert(name, function);
    }
    let used: BTreeSet<&str> = asl
        .split("${")
        .skip(1)
        .filter_map(|rest| rest.split_once('}'))
        .map(|(name, _)| name)
        .collect();
    assert_eq!(
        given.keys().copied().collect::<BTreeSet<_>>(),
        used,
        "substitutions given and used"
    );

    let tasks: BTreeSet<&str> = given.into_values().collect();
    let fed: BTreeSet<&str> = resources(&template)
        .filter(|(_, resource)| resource["Type"] == "AWS::Lambda::EventSourceMapping")
        .filter_map(|(_, mapping)| referenced(&mapping["Properties"]["FunctionName"]))
        .collect();
    let without_a_trigger: BTreeSet<&str> = functions(&template)
        .filter(|(name, function)| {
            function["Properties"]["Events"].is_null() && !fed.contains(name)
        })
        .map(|(name, _)| name)
        .collect();
    assert_eq!(tasks, without_a_trigger);
}

#[test]
fn every_step_of_the_saga_tells_what_it_did_also_when_it_failed() {
    let asl = fs::read_to_string(workspace_root().join("infra/saga.asl.json"));
    let asl: Value = yaml_serde::from_str(&asl.expect("the saga is there")).expect("it is JSON");
    let noted = |output: &Value, outcome: &str| {
        let step = format!("$merge([$states.context.State, {{'Outcome': {outcome}}}])");
        let output = output.as_str().unwrap_or_default();
        output.contains(&format!("'steps': [$states.input.steps, {step}]"))
    };
    for (name, state) in mapping(&asl["States"]).filter(|(_, state)| state["Type"] == "Task") {
        assert!(noted(&state["Output"], "'Succeeded'"), "{name}");
        // A run that is left to the recovery changes nothing, so nobody could store it.
        let caught = state["Catch"].as_sequence().into_iter().flatten();
        for catch in caught.filter(|catch| catch["Next"] != "LeaveToRecovery") {
            assert!(noted(&catch["Output"], "$states.errorOutput.Error"), "{name}: {catch:?}");
        }
    }
}

#[test]
fn the_domain_knows_neither_aws_nor_an_async_runtime() {
    let metadata = metadata();
    let mut reached = BTreeSet::new();
    let mut open = vec!["trackops-domain".to_owned()];
    while let Some(name) = open.pop() {
        let packages = metadata.packages.iter().filter(|package| *package.name == *name);
        for dependency in packages.flat_map(|package| &package.dependencies) {
            let always = dependency.kind == DependencyKind::Normal && !dependency.optional;
            if always && reached.insert(dependency.name.clone()) {
                open.push(dependency.name.clone());
            }
        }
    }
    let forbidden = |name: &&String| {
        ["aws", "lambda", "tokio", "async", "futures", "reqwest", "hyper"]
            .iter()
            .any(|word| name.starts_with(word))
    };
    assert_eq!(reached.iter().filter(forbidden).collect::<Vec<_>>(), Vec::<&String>::new());
}

#[test]
fn dependencies_point_one_way() {
    let metadata = metadata();
    let allowed = |layer: &str| -> &[&str] {
        match layer {
            "shared/domain" => &[],
            "shared/aws" => &["shared/domain"],
            "shared/lambda" => &["shared/domain", "shared/aws"],
            "functions" => &["shared/domain", "shared/aws", "shared/lambda"],
            // Runners and tests may look at everything but each other's tests.
            "localstack" => &["shared/domain", "shared/aws", "shared/lambda"],
            "shared/testkit" => &["shared/domain", "shared/aws", "localstack"],
            "tests" => &["shared/domain", "shared/aws", "shared/testkit", "localstack"],
            other => panic!("say here on what {other} may depend"),
        }
    };
    let packages = metadata.workspace_packages();
    let layers: BTreeMap<&str, String> =
        packages.iter().map(|package| (package.name.as_str(), layer(package))).collect();
    for package in &packages {
        let from = &layers[package.name.as_str()];
        for dependency in package.dependencies.iter().filter(|it| it.kind == DependencyKind::Normal)
        {
            if let Some(to) = layers.get(dependency.name.as_str()) {
                assert!(
                    allowed(from).contains(&to.as_str()),
                    "{} depends on {}",
                    package.name,
                    dependency.name
                );
            }
        }
    }
}

#[test]
fn schemas_are_made_by_tests_alone() {
    let metadata = metadata();
    for package in metadata.workspace_packages() {
        for dependency in &package.dependencies {
            let makes = dependency.features.iter().any(|feature| feature == "schema");
            assert!(!makes || layer(package) == "tests", "{} makes schemas", package.name);
        }
    }
}

#[test]
fn every_folder_says_what_it_is_for() {
    let root = workspace_root();
    let mut silent = Vec::new();
    for parent in ["", "functions", "shared"] {
        for entry in fs::read_dir(root.join(parent)).expect("the folder can be read") {
            let folder = entry.expect("the folder can be read").path();
            let name = folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
            if folder.is_dir() && !name.starts_with('.') && name != "target" && !speaks(&folder) {
                silent.push(folder);
            }
        }
    }
    assert_eq!(
        silent,
        Vec::<std::path::PathBuf>::new(),
        "folders without a README.md or a `//!` in src/lib.rs"
    );
}

fn speaks(folder: &Path) -> bool {
    let lib = fs::read_to_string(folder.join("src/lib.rs")).unwrap_or_default();
    folder.join("README.md").exists() || lib.starts_with("//!")
}

fn metadata() -> Metadata {
    let mut command = MetadataCommand::new();
    command.current_dir(workspace_root()).other_options(["--locked".to_owned()]);
    command.exec().expect("cargo metadata")
}

/// The folder that says what a crate may depend on; all services are one layer.
fn layer(package: &Package) -> String {
    let folder = package.manifest_path.parent().expect("a manifest is in a folder");
    let folder =
        folder.as_std_path().strip_prefix(workspace_root()).expect("a crate of this workspace");
    let folder = folder.to_string_lossy();
    if folder.starts_with("functions/") { "functions".to_owned() } else { folder.into_owned() }
}

fn template() -> Value {
    let text =
        fs::read_to_string(workspace_root().join("template.yaml")).expect("there is a template");
    yaml_serde::from_str(&text).expect("the template is YAML")
}

fn resources(template: &Value) -> impl Iterator<Item = (&str, &Value)> {
    mapping(&template["Resources"])
}

fn functions(template: &Value) -> impl Iterator<Item = (&str, &Value)> {
    resources(template).filter(|(_, resource)| resource["Type"] == "AWS::Serverless::Function")
}

fn binary(function: &Value) -> &str {
    let binary = &function["Metadata"]["BuildProperties"]["Binary"];
    binary.as_str().unwrap_or_else(|| panic!("{function:?} names no binary"))
}

fn mapping(value: &Value) -> impl Iterator<Item = (&str, &Value)> {
    let mapping = value.as_mapping().into_iter().flatten();
    mapping.filter_map(|(key, value)| Some((key.as_str()?, value)))
}

/// The resource that `!GetAtt Resource.Arn` or `!Ref Resource` means.
fn referenced(value: &Value) -> Option<&str> {
    let Value::Tagged(tagged) = value else { return None };
    let text = tagged.value.as_str()?;
    Some(text.split_once('.').map_or(text, |(resource, _)| resource))
}
