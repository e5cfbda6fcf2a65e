//! Permission groups: the bundles of permissions that a token's policies name by id (api-v4 §2).
//!
//! Clients look them up by name, and keep the ids in files that outlive an installation; so the ids are the same everywhere, and
//! written down here. Each began as the first 16 bytes of the SHA-256 of its name; a group that is renamed keeps its id.

use super::{Level, Permission, Right, Subject};
use crate::PermissionGroupId;

/// A group.
#[derive(Debug, Clone, Copy)]
pub struct PermissionGroup {
    id: u128,
    /// Its name, unique.
    pub name: &'static str,
    /// What it speaks of; all of one level.
    pub subjects: &'static [Subject],
    /// What may be done; whoever may edit may read.
    pub right: Right,
}

const fn read(id: u128, name: &'static str, subjects: &'static [Subject]) -> PermissionGroup {
    PermissionGroup { id, name, subjects, right: Right::Read }
}

const fn write(id: u128, name: &'static str, subjects: &'static [Subject]) -> PermissionGroup {
    PermissionGroup { id, name, subjects, right: Right::Edit }
}

use Subject as S;

/// All of them.
pub static GROUPS: &[PermissionGroup] = &[
    read(0xcc9d_d4ee_2cde_9d67_8e6c_226e_3eb0_5df7, "Zone Read", &[S::Zones]),
    write(0x1697_5a49_281a_4932_b2b7_37d3_b68d_15db, "Zone Write", &[S::Zones]),
    read(0xc4c0_b111_b944_89de_8ed4_1a70_35ee_9f09, "DNS Read", &[S::DnsRecords]),
    write(0x6519_df0b_c5fb_791f_418b_b9af_fe72_c873, "DNS Write", &[S::DnsRecords]),
    read(0xfe68_a009_463f_47bf_bc2f_64b9_00c8_8e75, "Zone Settings Read", &[S::ZoneSettings]),
    write(0xeda6_52ff_4adf_8751_c72a_abc0_7b71_58f1, "Zone Settings Write", &[S::ZoneSettings]),
    read(0xdb52_c65c_5b7a_46d7_af18_1b17_b52f_5402, "SSL and Certificates Read", &[S::Certificates]),
    write(0xe37f_993a_2217_7281_c2e0_da8d_eebe_f19e, "SSL and Certificates Write", &[S::Certificates]),
    write(0x956a_dbf6_b544_2e10_6c5a_00b5_5ba8_ac6b, "Cache Purge", &[S::CachePurge]),
    read(0xcd1f_7934_82b5_b93b_0373_93aa_2cb2_b3b5, "Cache Settings Read", &[S::CacheSettings]),
    write(0x79f1_8b1a_afb0_c22e_777c_87e0_eddc_c0b0, "Cache Settings Write", &[S::CacheSettings]),
    read(0x3960_abf6_0d21_f37d_dd08_0207_d2b7_c584, "Zone WAF Read", &[S::ZoneRulesets]),
    write(0x0138_17ee_d864_d185_d41b_dd78_1b0d_c76c, "Zone WAF Write", &[S::ZoneRulesets]),
    read(0x0d74_49b2_a7a0_0fbf_33ff_c857_d302_6efe, "Firewall Services Read", &[S::ZoneAccessRules]),
    write(0x84f0_38b6_2b13_abba_fb61_c960_574a_5d55, "Firewall Services Write", &[S::ZoneAccessRules]),
    read(0x5c46_79a5_5a3f_3834_7d96_60a3_6a33_78d9, "Load Balancers Read", &[S::LoadBalancers]),
    write(0x93da_b9f9_2631_6eda_dc00_3619_2ff5_1ff4, "Load Balancers Write", &[S::LoadBalancers]),
    read(0x21a3_9a93_5810_c4c4_edaa_1164_f289_2e92, "Health Checks Read", &[S::HealthChecks]),
    write(0xdc88_1ffc_0465_26bd_d8ef_953c_29c9_e642, "Health Checks Write", &[S::HealthChecks]),
    read(0xf07c_fb3f_f986_6e7b_6f78_fe6e_356c_fe92, "Analytics Read", &[S::Analytics]),
    read(0x31ec_ba3a_0999_ab66_f3ee_2590_ac55_6977, "Page Rules Read", &[S::PageRules]),
    write(0xcef1_7721_2516_f558_b5eb_f19c_99c9_7abe, "Page Rules Write", &[S::PageRules]),
    read(0x3575_557d_2e1d_8acd_6804_ba9c_4368_d573, "Dynamic URL Redirects Read", &[S::RedirectRules]),
    write(0xcdbc_c546_933d_c592_d35f_9ac9_af9c_2a49, "Dynamic URL Redirects Write", &[S::RedirectRules]),
    read(0x4822_b11c_2a51_6cab_137d_0437_7ccd_1583, "Transform Rules Read", &[S::TransformRules]),
    write(0x22d6_c39d_daa7_8541_3577_02c8_7fed_5ac6, "Transform Rules Write", &[S::TransformRules]),
    read(0x0fbe_7a2b_a7d6_8fcf_edea_856b_d2a7_caab, "Origin Rules Read", &[S::OriginRules]),
    write(0xc066_e6cd_b3a0_ba5d_64db_6d5f_8fb7_719c, "Origin Rules Write", &[S::OriginRules]),
    read(0xd975_849c_640d_c75d_88ce_4fa1_9c90_56f0, "Config Rules Read", &[S::ConfigRules]),
    write(0x8f34_238e_b3bc_5429_2ce9_efdb_0c9f_f384, "Config Rules Write", &[S::ConfigRules]),
    read(0x9ebc_e4fc_28d1_90e3_b967_dc6b_fe91_c587, "Cloudflare Tunnel Read", &[S::Tunnels, S::PrivateRoutes]),
    write(0x2cca_8439_36b1_812f_ade1_e441_5508_f39b, "Cloudflare Tunnel Write", &[S::Tunnels, S::PrivateRoutes]),
    read(
        0x4915_fa56_3512_b880_ba7c_ebb4_2618_f74e,
        "Cloudflare One Connector: cloudflared Read",
        &[S::Tunnels, S::PrivateRoutes],
    ),
    write(
        0xa7f0_1b3e_3976_017a_355d_09bb_d3ae_b77f,
        "Cloudflare One Connector: cloudflared Write",
        &[S::Tunnels, S::PrivateRoutes],
    ),
    read(0x5dac_b01d_76db_21f8_2578_44e0_974f_84f2, "Access: Apps and Policies Read", &[S::AccessApps]),
    write(0x3221_c8bc_aaca_1ace_f8fe_7844_ed59_6b51, "Access: Apps and Policies Write", &[S::AccessApps]),
    read(0x34a8_0cb0_2240_9503_0a0a_01e5_1090_4a1e, "Access: Service Tokens Read", &[S::AccessServiceTokens]),
    write(0x8d03_d2df_8d51_6c99_7788_b88f_3b1b_f0d6, "Access: Service Tokens Write", &[S::AccessServiceTokens]),
    read(0xc68b_3959_9baf_0296_0cc9_e7e6_2ab2_0e70, "Account Filter Lists Read", &[S::Lists]),
    write(0x99bc_77df_84bc_f6fc_a8b5_c411_0179_7893, "Account Filter Lists Write", &[S::Lists]),
    read(0xd945_13ac_0cdb_434d_7a23_4419_3816_3622, "Account Rulesets Read", &[S::AccountRulesets]),
    write(0x7e36_dd3e_f777_19c7_9014_c1eb_0251_986d, "Account Rulesets Write", &[S::AccountRulesets]),
    read(0xb23b_90aa_5277_719e_4159_2b33_dd06_2c26, "Account Firewall Access Rules Read", &[S::AccountAccessRules]),
    write(0xa42b_143a_0727_8003_5cea_0abf_b1d7_9081, "Account Firewall Access Rules Write", &[S::AccountAccessRules]),
    read(0xaf4a_8ec8_de1b_6010_6c2e_43fa_24a8_0eb0, "Account Settings Read", &[S::Accounts, S::Members]),
    write(0x3bc6_8e5a_afeb_f812_7323_eb12_e02b_cb72, "Account Settings Write", &[S::Accounts, S::Members]),
    read(0xeabd_9adf_be22_e102_5077_173e_fb87_1bf5, "Account: SSL and Certificates Read", &[S::AccountCertificates]),
    write(0x40f9_aae1_7167_f7a8_d455_99ca_f17c_44b6, "Account: SSL and Certificates Write", &[S::AccountCertificates]),
    read(0xa520_9f08_d7bc_d5bb_a86d_efdc_5141_0a69, "Account API Tokens Read", &[S::AccountTokens]),
    write(0xcce7_bffb_1614_015a_55f6_5573_a0b0_a36b, "Account API Tokens Write", &[S::AccountTokens]),
    read(0xaec4_b85f_cfd8_46e9_ee5e_58c1_c2d7_d119, "Account Audit Logs Read", &[S::AuditLogs]),
    read(0xf8af_881f_4050_a646_45a2_4ae8_65aa_43b0, "Notifications Read", &[S::Notifications]),
    write(0xc91d_a0c9_b4c9_2207_0c3b_0955_abf4_d748, "Notifications Write", &[S::Notifications]),
    read(0x085b_fe0f_70fe_eba2_cd7d_7269_bd1c_79e1, "User Details Read", &[S::UserDetails]),
    write(0x2c36_0990_79ab_5007_249b_1bd2_0f95_069a, "User Details Write", &[S::UserDetails]),
    read(0x026d_7f2b_0ded_9270_6aa9_c8dd_a799_2bbc, "API Tokens Read", &[S::UserTokens]),
    write(0xba4a_82f5_aacc_6aeb_df8c_6cde_e607_3f6d, "API Tokens Write", &[S::UserTokens]),
];

impl PermissionGroup {
    /// Its id.
    pub const fn id(&self) -> PermissionGroupId {
        PermissionGroupId::from_bytes(self.id.to_be_bytes())
    }

    /// What kind of resource it is given over.
    pub fn level(&self) -> Level {
        self.subjects[0].level()
    }

    /// Whether a policy that allows it gives this permission.
    pub fn gives(&self, permission: Permission) -> bool {
        self.subjects.contains(&permission.subject) && (self.right == Right::Edit || permission.right == Right::Read)
    }

    /// Whether a policy that denies it takes this permission: what one may not read, one may not edit either; what one may not
    /// edit, one may still read.
    pub fn takes(&self, permission: Permission) -> bool {
        self.subjects.contains(&permission.subject) && (self.right == Right::Read || permission.right == Right::Edit)
    }
}

/// The group of that id.
pub fn by_id(id: PermissionGroupId) -> Option<&'static PermissionGroup> {
    GROUPS.iter().find(|group| group.id() == id)
}

/// The group of that name, in any case.
pub fn by_name(name: &str) -> Option<&'static PermissionGroup> {
    GROUPS.iter().find(|group| group.name.eq_ignore_ascii_case(name))
}

#[cfg(test)]
mod tests {
    use sha2::{Digest, Sha256};

    use super::*;

    #[test]
    fn ids_are_those_written_down() {
        for group in GROUPS {
            assert_eq!(Sha256::digest(group.name)[..16], *group.id().as_bytes(), "{}", group.name);
            assert_eq!(by_id(group.id()).unwrap().name, group.name);
            assert_eq!(by_name(&group.name.to_uppercase()).unwrap().id, group.id);
        }
        assert_eq!(by_name("DNS Write").unwrap().id().to_string(), "6519df0bc5fb791f418bb9affe72c873");
    }

    #[test]
    fn a_group_is_of_one_level_and_every_subject_is_in_one() {
        for group in GROUPS {
            assert!(group.subjects.iter().all(|subject| subject.level() == group.level()), "{}", group.name);
        }
        for subject in Subject::ALL {
            assert!(GROUPS.iter().any(|group| group.gives(subject.to_read())), "{subject}");
        }
    }

    #[test]
    fn who_may_edit_may_read_and_who_may_not_read_may_not_edit() {
        let (read, write) = (by_name("DNS Read").unwrap(), by_name("DNS Write").unwrap());
        let (reading, editing) = (S::DnsRecords.to_read(), S::DnsRecords.to_edit());
        assert_eq!(
            (read.gives(reading), read.gives(editing), write.gives(reading), write.gives(editing)),
            (true, false, true, true)
        );
        assert_eq!(
            (read.takes(reading), read.takes(editing), write.takes(reading), write.takes(editing)),
            (true, true, false, true)
        );
        assert!(!write.gives(S::Zones.to_read()));
    }
}
