//! Consumes `inventory.item.updated`: keeps our projection of the catalogue. The newest version wins, in any order of arrival.

use trackops_aws::StoreError;
use trackops_aws::catalogue::Catalogue;
use trackops_domain::Event;
use trackops_domain::event::Data;

use crate::products::CatalogueEntry;

pub async fn handle(catalogue: &Catalogue, event: Event) -> Result<(), StoreError> {
    let Data::InventoryItemUpdated(item) = event.data else {
        return Err(StoreError::unexpected(&event));
    };
    catalogue.project(&CatalogueEntry::from(item).into_product(event.sequence)?).await
}
