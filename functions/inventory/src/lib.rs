//! The inventory service: the catalogue, stock levels, and reservations that take from them.

pub mod commit_reservation;
pub mod create_item;
pub mod delete_item;
pub mod expire_reservations;
pub mod get_item;
pub mod release_inventory;
pub mod reserve_inventory;
pub mod ship_reservation;
pub mod update_item;
mod view;
