"""The networks whose features are compared, and the tensors that go through them."""
