//! With the feature `openapi`: types that tell their own [`Schema`](crate::Schema) to a description of the API.

/// Makes a type known to `utoipa` by this schema; nothing without the feature.
macro_rules! described {
    ($name:ident, $schema:expr) => {
        #[cfg(feature = "openapi")]
        impl utoipa::PartialSchema for $name {
            fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::schema::Schema> {
                serde_json::from_value($schema.into_value()).expect("the schema of a text is one")
            }
        }

        #[cfg(feature = "openapi")]
        impl utoipa::ToSchema for $name {
            fn name() -> std::borrow::Cow<'static, str> {
                stringify!($name).into()
            }
        }
    };
}

pub(crate) use described;

#[cfg(all(test, feature = "openapi"))]
mod tests {
    use utoipa::PartialSchema;

    #[test]
    fn nothing_of_a_schema_is_lost_on_the_way() {
        let told = |schema: utoipa::openapi::RefOr<utoipa::openapi::schema::Schema>| serde_json::to_value(schema).unwrap();
        assert_eq!(told(crate::AccountId::schema()), crate::Schema::hex("account id").into_value());
        assert_eq!(told(crate::TunnelId::schema()), crate::Schema::uuid("tunnel id").into_value());
        assert_eq!(told(crate::Name::schema()), crate::Schema::name().into_value());
        let words = crate::Schema::one_of(crate::list::ListKind::WORDS).into_value();
        assert_eq!(told(crate::list::ListKind::schema()), words);
    }
}
