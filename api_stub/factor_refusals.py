"""What Twilio says where an entity, factor or challenge does not do what was asked."""

from worker.states import FactorRefusal

# HTTP status, Twilio's code, message. 20410 is ours, made like Twilio's 20404.
FACTOR_REFUSALS: dict[FactorRefusal, tuple[int, int, str]] = {
    FactorRefusal.ENTITY_EXISTS: (409, 60301, "Entity already exists"),
    FactorRefusal.FACTOR_EXISTS: (409, 60317, "Factor already exists"),
    FactorRefusal.TOO_MANY_FACTORS: (400, 60315, "Max factors per entity reached"),
    FactorRefusal.TOO_MANY_CREATIONS: (429, 60326, "Too many factor creations for the entity"),
    FactorRefusal.VERIFICATION_SPENT: (429, 60310, "Max factor verification attempts reached"),
    FactorRefusal.UNVERIFIED: (403, 60318, "The factor is not verified"),
    FactorRefusal.VERIFIED: (410, 20410, "The factor is verified, its secret is shown no more"),
    FactorRefusal.DISABLED: (403, 60238, "Disabled after too many wrong codes in a row"),
    FactorRefusal.TOO_MANY_CHALLENGES: (429, 60312, "Max challenges for the factor reached"),
    FactorRefusal.CHALLENGE_SPENT: (429, 60308, "Max challenge verification attempts reached"),
    FactorRefusal.ANSWERED: (403, 60322, "The challenge has been responded"),
    FactorRefusal.EXPIRED: (403, 60323, "The challenge has expired"),
    FactorRefusal.BACKUP_SPENT: (429, 60202, "Max check attempts reached"),
}
# Twilio's code for a bad value, where it is not 60300.
FACTOR_FIELDS = {"Binding.Secret": 60314}
