//! Who did something to an order, and who may know.

use trackops_domain::order::{Actor, ActorRole};
use trackops_lambda::identity::{Caller, Role};

pub fn actor(caller: &Caller) -> Actor {
    let role = match caller.role {
        Role::Customer => ActorRole::Customer,
        Role::Operator => ActorRole::Operator,
        Role::Service => ActorRole::Service,
    };
    Actor { role, subject: Some(caller.subject.clone()) }
}

/// Customers see only the role, unless they did it themselves: they may not know who our operators are.
pub fn shown_to(caller: &Caller, actor: Actor) -> Actor {
    let myself = actor == self::actor(caller);
    let subject = actor.subject.filter(|_| myself || caller.role != Role::Customer);
    Actor { subject, ..actor }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn caller(role: Role, subject: &str) -> Caller {
        Caller { role, subject: subject.parse().unwrap() }
    }

    #[test]
    fn customers_see_no_subject_but_their_own_and_operators_see_all() {
        let (alice, olga) = (caller(Role::Customer, "alice"), caller(Role::Operator, "olga"));
        let namesake = caller(Role::Operator, "alice");
        let subject = |by: &Caller, caller| shown_to(caller, actor(by)).subject;
        assert_eq!(subject(&alice, &alice), Some(alice.subject.clone()));
        assert_eq!(subject(&olga, &alice), None);
        assert_eq!(subject(&namesake, &alice), None);
        for reader in [&olga, &caller(Role::Service, "shop")] {
            for by in [&alice, &olga] {
                assert_eq!(subject(by, reader), Some(by.subject.clone()));
            }
        }
    }
}
