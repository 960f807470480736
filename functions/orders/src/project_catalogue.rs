//! Consumes `inventory.item.updated`: keeps our projection of the catalogue. The newest version wins, in any order of arrival.

use trackops_aws::StoreError;
use trackops_aws::catalogue::Catalogue;
use trackops_domain::Event;

use crate::products::CatalogueEntry;

pub async fn handle(catalogue: &Catalogue, event: Event) -> Result<(), StoreError> {
    let entry: CatalogueEntry = serde_json::from_value(event.data).map_err(StoreError::corrupt)?;
    catalogue.project(&entry.into_product(event.sequence)?).await
}
