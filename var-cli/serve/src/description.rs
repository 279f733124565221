//! The model as far as requests are checked against it and `/api/info` shows it.

use serde_json::{Value, json};
use var_host::Model;
use var_host::model::ClassLookup;
use var_kernel::model::{Ladder, VqvaeConfig};

use crate::fault::{Fault, Kind};

/// The most characters of a class's name in a request.
const LONGEST_NAME: usize = 200;

/// Sizes and classes of the model, known without it.
#[derive(Clone, Debug)]
pub(crate) struct Description {
    pub(crate) name: String,
    /// Pixels of a side of its images.
    pub(crate) side: usize,
    pub(crate) ladder: Ladder,
    pub(crate) vqvae: VqvaeConfig,
    pub(crate) codes: usize,
    transformer: Option<Transformer>,
    own_names: Vec<String>,
}

/// Sizes of the transformer.
#[derive(Clone, Copy, Debug)]
struct Transformer {
    classes: usize,
    depth: usize,
    width: usize,
    heads: usize,
}

impl Description {
    /// Of `model`; none without a VQVAE.
    pub(crate) fn of(model: &Model) -> Option<Self> {
        let vqvae = model.vqvae_config()?;
        let transformer = model.transformer_config().map(|config| Transformer {
            classes: config.classes,
            depth: config.depth,
            width: config.width,
            heads: config.heads,
        });
        Some(Self {
            name: model.name().to_owned(),
            side: vqvae.side(),
            ladder: vqvae.ladder,
            codes: vqvae.codes,
            vqvae: *vqvae,
            transformer,
            own_names: model.class_names().to_vec(),
        })
    }

    /// How many classes; also the label of the null class.
    ///
    /// # Errors
    /// If there is no transformer.
    pub(crate) fn classes(&self) -> Result<u32, Fault> {
        let transformer = self.transformer.ok_or_else(|| {
            Fault::new(Kind::Model, format!("{}: has no transformer: give --var too", self.name))
        })?;
        Ok(transformer.classes as u32)
    }

    /// The name of a label.
    pub(crate) fn class_name(&self, label: u32) -> String {
        let count = self.transformer.map_or(0, |transformer| transformer.classes);
        let names = ClassLookup::of_model(count, &self.own_names);
        match names.get(label as usize) {
            _ if label as usize == count => "none".to_owned(),
            Some(name) => name.clone(),
            None => label.to_string(),
        }
    }

    /// The label as requests and files have it: -1 for none.
    pub(crate) fn class_number(&self, label: u32) -> i64 {
        let is_null = self.transformer.is_some_and(|t| t.classes == label as usize);
        if is_null { -1 } else { label.into() }
    }

    /// The classes by their names.
    fn lookup(&self) -> Result<ClassLookup<'_>, Fault> {
        let count = self.classes()? as usize;
        Ok(ClassLookup::new(count, ClassLookup::of_model(count, &self.own_names)))
    }

    /// The label of a class given in the field `option` by number or name; null and -1 are none.
    pub(crate) fn class(&self, option: &str, value: &Value) -> Result<u32, Fault> {
        self.class_by(&self.lookup()?, option, value)
    }

    /// The labels of many classes.
    pub(crate) fn class_list(&self, option: &str, values: &[Value]) -> Result<Vec<u32>, Fault> {
        let lookup = self.lookup()?;
        values.iter().map(|value| self.class_by(&lookup, option, value)).collect()
    }

    fn class_by(
        &self,
        lookup: &ClassLookup<'_>,
        option: &str,
        value: &Value,
    ) -> Result<u32, Fault> {
        let null = self.classes()?;
        if value.is_null() || value.as_i64() == Some(-1) {
            return Ok(null);
        }
        if value.is_number() {
            let whole = value.as_u64().filter(|label| *label <= null.into());
            let last = null.saturating_sub(1);
            return whole.map(|label| label as u32).ok_or_else(|| {
                let text = format!("{value}: the model has classes 0 to {last}, and -1 for none");
                let fault = Fault::of(Kind::Class, option, text);
                fault.with("value", value.clone()).with("limit", json!([0, last]))
            });
        }
        let Some(name) = value.as_str() else {
            let fault = Fault::of(Kind::Type, option, format!("{value} is no number and no name"));
            return Err(fault.with("value", value.clone()));
        };
        // Looking for names like it takes as long as it is.
        let length = name.chars().count();
        if length > LONGEST_NAME {
            let text = format!("{length} characters: names of classes have at most {LONGEST_NAME}");
            let fault = Fault::of(Kind::Class, option, text);
            return Err(fault.with("value", length).with("limit", LONGEST_NAME));
        }
        lookup
            .label(name)
            .map_err(|error| Fault::of(Kind::Class, option, error).with("value", name))
    }

    /// As `/api/classes` lists them.
    pub(crate) fn classes_json(&self) -> Value {
        let count = self.transformer.map_or(0, |transformer| transformer.classes as u32);
        let class = |label| json!({ "label": label, "name": self.class_name(label) });
        (0..count).map(class).collect()
    }

    /// As `/api/info` shows it.
    pub(crate) fn to_json(&self) -> Value {
        let size = |of: fn(Transformer) -> usize| self.transformer.map(of);
        json!({
            "name": self.name,
            "side": self.side,
            "ladder": self.ladder.sides(),
            "codes": self.codes,
            "channels": self.vqvae.latent,
            "has_transformer": self.transformer.is_some(),
            "classes": size(|t| t.classes),
            "null_class": size(|t| t.classes),
            "depth": size(|t| t.depth),
            "width": size(|t| t.width),
            "heads": size(|t| t.heads),
        })
    }
}
