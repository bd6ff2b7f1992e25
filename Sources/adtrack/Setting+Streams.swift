/// What `consume`, `update` and `report` take besides.
extension Setting {
    static let from = Setting("from", "from")
    static let to = Setting("to", "to")
    static let deadLetter = Setting("dead-letter", "deadLetter")
    static let claimIdle = Setting("claim-idle", "claimIdle")
    static let leaseDuration = Setting("lease-duration", "leaseDuration")
    static let createTable = Setting("create-table", "createTable")

    static let ofStreams = [from, to, deadLetter, claimIdle, leaseDuration, createTable]

    static let all = ofServe + ofStreams

    /// May hold a password in a URL.
    var isSecret: Bool { ["redis", "from", "to", "dead-letter"].contains(self.flag) }
}
