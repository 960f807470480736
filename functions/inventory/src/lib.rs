//! The inventory service: the catalogue, stock levels, and reservations that take from them.

pub mod commit_reservation;
pub mod create_item;
pub mod create_reservation;
pub mod delete_item;
pub mod delete_reservation;
pub mod expire_reservations;
pub mod get_item;
pub mod get_reservation;
pub mod get_stock_totals;
pub mod inventory_health;
pub mod list_items;
pub mod list_reservations;
pub mod notify_low_stock;
pub mod release_inventory;
mod reservation_view;
pub mod reserve_inventory;
pub mod ship_reservation;
pub mod update_item;
mod view;
