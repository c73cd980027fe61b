"""TensorFlow Serving's messages, declared once for the gateway, the stand-in, training and the tests."""
