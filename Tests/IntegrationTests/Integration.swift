import Testing

/// Everything that starts whole services: one test after the other, since each wants the machine for itself.
@Suite("The service from outside", .serialized)
enum Integration {}
