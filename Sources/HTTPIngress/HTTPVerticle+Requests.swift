import EventJournal
import NIOCore
import ProgramCache
import Reactor
import TrackingModel
import TrackingPipeline
import Verticles

/// From bytes to answers.
extension HTTPVerticle {
    func becameWritable(_ connection: HTTPConnection) {
        self.proceed(connection)
    }

    func clientFinished(_ connection: HTTPConnection) {
        guard connection.phase == .lingering else { return self.proceed(connection) }
        // What has not left yet goes first; the connection closes behind it.
        if connection.unsentBytes == 0 { connection.close() }
    }

    /// Reads as many requests as have come, and sends what may leave.
    func proceed(_ connection: HTTPConnection) {
        guard connection.phase == .open, !connection.isInWork else { return }
        self.changes?.deliver()
        let moment = self.clocks.moment(at: self.reactor.tick)
        self.heads.update(moment.wall)
        connection.lastActivity = moment.monotonic
        connection.isInWork = true
        while connection.phase == .open, self.mayProceed(connection), self.request(connection, moment) {}
        connection.isInWork = false
        if connection.held.isEmpty { connection.flush() }
        self.considerEnd(connection)
        // Beyond some requests, what can't be taken now stays in the socket, and the client's system learns to wait.
        let unread = connection.inbound.readableBytes
        connection.setReading(connection.phase != .open || unread < 2 * self.configuration.head.headBytes)
    }

    /// Bounds what one connection may have under way.
    private func mayProceed(_ connection: HTTPConnection) -> Bool {
        !connection.isWaiting && connection.held.count < self.configuration.pipelinedAnswers && connection.isWritable
    }

    /// Takes one request off the connection. False: there is none, or it has to wait.
    private func request(_ connection: HTTPConnection, _ moment: Moment) -> Bool {
        let buffer = connection.inbound
        let bytes = buffer.readableBytesUInt8Span
        guard !bytes.isEmpty else {
            connection.headBegan = 0
            return false
        }
        switch self.parse(bytes) {
        case .incomplete:
            if connection.headBegan == 0 { connection.headBegan = moment.monotonic }
            return false
        case .fault(let fault):
            self.refuse(Outcome(fault), connection, route: self.faultRoute, isLast: true)
            return false
        case .complete(let length):
            connection.headBegan = 0
            // A program that came at once lets the same request be taken again.
            guard self.serve(bytes, connection, moment) else { return !connection.isWaiting }
            connection.inbound.moveReaderIndex(forwardBy: length)
            return true
        }
    }

    /// Between the path and the fields the program is sent for.
    private func parse(_ bytes: Span<UInt8>) -> HeadParser.Result {
        self.trackedID = nil
        if let end = self.parser.parsePath(bytes) { return end }
        let path = bytes.extracting(self.parser.head.path.start..<self.parser.head.path.end)
        if self.pipeline != nil, let id = path.trackedID {
            self.trackedID = id
            self.pipeline?.prefetch(path.extracting(id))
        }
        return self.parser.parseRest(bytes)
    }

    /// A malformed request on a tracking path is a tracking request all the same.
    private var faultRoute: RequestBooks.Route { self.trackedID == nil ? .other : .event }

    /// False: the request stays where it is and waits.
    private func serve(_ bytes: Span<UInt8>, _ connection: HTTPConnection, _ moment: Moment) -> Bool {
        let head = self.parser.head
        let path = bytes.extracting(head.path.start..<head.path.end)
        if let id = self.trackedID {
            guard head.method == .get else {
                self.refuse(.methodNotAllowed, connection, route: .event, isLast: head.announcesBody)
                return true
            }
            guard !head.announcesBody else {
                self.refuse(.refused(.badRequest), connection, route: .event, isLast: true)
                return true
            }
            return self.track(
                bytes,
                id: head.path.start + id.lowerBound..<head.path.start + id.upperBound,
                connection,
                moment
            )
        }
        guard let route = self.routes.first(where: { path.equals($0.path) }) else {
            self.refuse(.notFound, connection, route: .other, isLast: head.announcesBody)
            return true
        }
        guard head.method == .get || head.method == .head && route.takesHead else {
            let answer = Outcome.methodNotAllowed.answer(allowing: route.methods)
            self.put(answer, .methodNotAllowed, connection, route: route.label, isLast: head.announcesBody)
            return true
        }
        guard !head.announcesBody else {
            self.refuse(.refused(.badRequest), connection, route: route.label, isLast: true)
            return true
        }
        self.serve(route, connection)
        return true
    }

    private func serve(_ route: Route, _ connection: HTTPConnection) {
        switch route.handler {
        case .immediate(let handler):
            self.put(handler(), .accepted, connection, route: route.label, isLast: false)
        case .deferred(let handler):
            connection.isWaiting = true
            let head = self.parser.head
            Task {
                let answer = await handler()
                connection.isWaiting = false
                guard connection.phase == .open else { return }
                self.heads.update(self.clocks.read().wall)
                self.put(answer, .accepted, connection, route: route.label, isLast: false, head: head)
                self.proceed(connection)
                // Where the client asked for no more than this, nothing proceeds: the answer leaves here.
                guard connection.phase == .closing else { return }
                if connection.held.isEmpty { connection.flush() }
                self.considerEnd(connection)
            }
        }
    }

    // MARK: Tracking

    private func track(_ bytes: Span<UInt8>, id: Range<Int>, _ connection: HTTPConnection, _ moment: Moment) -> Bool {
        let head = self.parser.head
        guard head.pathHasEscapes else {
            return self.track(bytes, id: bytes.extracting(id), connection, moment)
        }
        self.decodedPath.removeAll(keepingCapacity: true)
        guard PercentEncoding.decode(bytes.extracting(id), into: &self.decodedPath) else {
            self.refuse(.refused(.badRequest), connection, route: .event, isLast: false)
            return true
        }
        let decoded = self.decodedPath
        return self.track(bytes, id: decoded.span, connection, moment)
    }

    private func track(
        _ bytes: Span<UInt8>,
        id: Span<UInt8>,
        _ connection: HTTPConnection,
        _ moment: Moment
    ) -> Bool {
        let head = self.parser.head
        let address = connection.clientAddress ?? self.takeAddress(of: connection)
        let incoming = IncomingRequest(
            programID: id,
            query: bytes.extracting(head.query.start..<head.query.end),
            userAgent: bytes.extracting(head.userAgent.start..<head.userAgent.end),
            referrer: bytes.extracting(head.referrer.start..<head.referrer.end),
            clientAddress: address.span
        )
        let arrived = connection.arrived
        connection.arrived = nil
        let start = connection.out.writerIndex
        let says = self.connectionField(head)
        let verdict = self.pipeline?.track(incoming, at: moment, arrived: arrived) { event in
            self.heads.putAccepted(event, says, to: &connection.out)
        }
        switch verdict {
        case .accepted(let batch):
            let answer = HTTPConnection.HeldAnswer(
                start: start,
                end: connection.out.writerIndex,
                batch: batch.number,
                arrived: moment.monotonic,
                connection: says
            )
            self.hold(answer, connection)
            if says == .closes { connection.phase = .closing }
        case .acceptedUnrecorded:
            self.books.enter(.accepted, route: .event)
            self.books.enter(nanoseconds: 0)
            if says == .closes { connection.phase = .closing }
        case .refused(let refusal):
            self.refuse(.refused(refusal), connection, route: .event, isLast: false)
        case .programMissing:
            return self.load(id, for: connection)
        case nil:
            return true
        }
        return true
    }

    private func takeAddress(of connection: HTTPConnection) -> [UInt8] {
        let address = self.configuration.clientAddress.apply(to: connection.remoteAddress)
        connection.clientAddress = address
        return address
    }

    private func hold(_ answer: HTTPConnection.HeldAnswer, _ connection: HTTPConnection) {
        let isFirstOfBatch = connection.held.last?.batch != answer.batch
        connection.held.append(answer)
        guard isFirstOfBatch else { return }
        if self.holding.last?.batch == answer.batch {
            self.holding[self.holding.count - 1].connections.append(connection)
        } else {
            var connections: [HTTPConnection] = []
            swap(&connections, &self.spareHolding)
            connections.append(connection)
            self.holding.append((answer.batch, connections))
        }
    }

    // MARK: Answers

    func refuse(_ outcome: Outcome, _ connection: HTTPConnection, route: RequestBooks.Route, isLast: Bool) {
        let head = self.parser.head
        let says = isLast ? ResponseHeads.Connection.closes : self.connectionField(head)
        if head.method == .head {
            self.heads.put(outcome.answer(), says, withBody: false, to: &connection.out)
        } else {
            self.heads.put(outcome, says, to: &connection.out)
        }
        self.books.enter(outcome, route: route)
        if says == .closes { connection.phase = .closing }
    }

    private func put(
        _ answer: Answer,
        _ outcome: Outcome,
        _ connection: HTTPConnection,
        route: RequestBooks.Route,
        isLast: Bool,
        head: RequestHead? = nil
    ) {
        let head = head ?? self.parser.head
        let says = isLast ? ResponseHeads.Connection.closes : self.connectionField(head)
        self.heads.put(answer, says, withBody: head.method != .head, to: &connection.out)
        self.books.enter(answer.status == 503 ? .refused(.unavailable) : outcome, route: route)
        if says == .closes { connection.phase = .closing }
    }

    private func connectionField(_ head: RequestHead) -> ResponseHeads.Connection {
        if !head.keepsAlive || self.isDraining { return .closes }
        return head.isHTTP10 ? .staysSaid : .stays
    }

    /// Ends the connection when its last answer has left.
    func considerEnd(_ connection: HTTPConnection) {
        guard connection.held.isEmpty, !connection.isWaiting else { return }
        switch connection.phase {
        case .closing:
            connection.endAfterLastAnswer()
        case .open where connection.clientHasFinished && connection.isWritable:
            connection.phase = .closing
            connection.endAfterLastAnswer()
        case .open, .lingering, .closed:
            break
        }
    }
}
