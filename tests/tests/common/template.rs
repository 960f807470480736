//! `template.yaml` as the tests read it.

use std::fs;

use trackops_testkit::workspace_root;
use yaml_serde::Value;

pub fn template() -> Value {
    let text =
        fs::read_to_string(workspace_root().join("template.yaml")).expect("there is a template");
    yaml_serde::from_str(&text).expect("the template is YAML")
}

pub fn resources(template: &Value) -> impl Iterator<Item = (&str, &Value)> {
    mapping(&template["Resources"])
}

pub fn functions(template: &Value) -> impl Iterator<Item = (&str, &Value)> {
    resources(template).filter(|(_, resource)| resource["Type"] == "AWS::Serverless::Function")
}

pub fn mapping(value: &Value) -> impl Iterator<Item = (&str, &Value)> {
    let mapping = value.as_mapping().into_iter().flatten();
    mapping.filter_map(|(key, value)| Some((key.as_str()?, value)))
}

/// The resource that `!GetAtt Resource.Arn` or `!Ref Resource` means.
pub fn referenced(value: &Value) -> Option<&str> {
    let Value::Tagged(tagged) = value else { return None };
    let text = tagged.value.as_str()?;
    Some(text.split_once('.').map_or(text, |(resource, _)| resource))
}
