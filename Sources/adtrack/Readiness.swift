import Synchronization

/// Whether the service should be sent requests, and if not, what is missing.
final class Readiness: Sendable {
    typealias Check = @Sendable () -> Bool

    private let checks = Mutex<[(name: String, isMet: Check)]>([])
    private let isDraining = Atomic(false)

    /// - Parameter name: as it is told to outsiders while the check fails.
    func require(_ name: String, _ isMet: @escaping Check) {
        self.checks.withLock { $0.append((name, isMet)) }
    }

    func drain() { self.isDraining.store(true, ordering: .relaxed) }

    var missing: [String] {
        let missing = self.checks.withLock { $0 }.filter { !$0.isMet() }.map(\.name)
        return self.isDraining.load(ordering: .relaxed) ? missing + ["draining"] : missing
    }
}
