import NIOCore
import TrackingPipeline
import Verticles

/// Deadlines, and the end.
extension HTTPVerticle {
    func beginSweeps() {
        let shortest =
            [
                self.configuration.headTimeout, self.configuration.writeTimeout, self.configuration.idleTimeout,
            ].min() ?? 5
        let interval = TimeAmount.nanoseconds(Int64(max(0.02, min(0.5, shortest / 5)) * 1e9))
        self.sweeps = self.loop.scheduleRepeatedTask(initialDelay: interval, delay: interval) { [weak self] _ in
            self?.enter { $0.sweep() }
        }
    }

    /// Looks at every connection's deadlines a few times a second, so that a request costs no timer.
    private func sweep() {
        let now = self.clocks.read().monotonic
        for connection in self.connections {
            if let connection { self.checkDeadlines(of: connection, now: now) }
        }
    }

    private func checkDeadlines(of connection: HTTPConnection, now: UInt64) {
        func isOver(_ since: UInt64, _ seconds: Double) -> Bool { now &- since > UInt64(seconds * 1e9) }
        let unsent = connection.unsentBytes
        if unsent == 0 {
            connection.unreadSince = 0
        } else if connection.unreadSince == 0 {
            connection.unreadSince = now
        } else if isOver(connection.unreadSince, self.configuration.writeTimeout) {
            return connection.close()
        }
        switch connection.phase {
        case .open:
            if connection.headBegan != 0, isOver(connection.headBegan, self.configuration.headTimeout) {
                connection.close()
            } else if isOver(connection.lastActivity, self.configuration.idleTimeout), !connection.isWaiting,
                connection.held.isEmpty
            {
                connection.close()
            }
        case .lingering:
            if unsent == 0, isOver(connection.lastActivity, self.configuration.lingerTimeout) { connection.close() }
        case .closing, .closed:
            break
        }
    }

    /// Takes no more connections, answers what has come, and lets the clients go: those that ask again are told that this
    /// is the last answer, those that are silent for a moment are hung up on, politely.
    public func stop() async {
        self.isDraining = true
        self.stopListening()
        await self.waitForConnections(upTo: .seconds(2))
        for connection in self.connections {
            if let connection, connection.phase == .open, connection.held.isEmpty, !connection.isWaiting {
                connection.phase = .closing
                self.considerEnd(connection)
            }
        }
        await self.waitForConnections(upTo: .seconds(8))
        for connection in self.connections { connection?.close() }
        self.sweeps?.cancel()
    }

    private func waitForConnections(upTo limit: TimeAmount) async {
        let deadline = NIODeadline.now() + limit
        while self.openConnections > 0, NIODeadline.now() < deadline {
            try? await self.loop.scheduleTask(in: .milliseconds(10)) {}.futureResult.get()
        }
    }
}
