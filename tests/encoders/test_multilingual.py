from zhiyin.encoders import Multilingual
from zhiyin.testing.encoders import TextEncoderSuite


class TestMultilingual(TextEncoderSuite):
    encoder = Multilingual
    made_before: "Multilingual | None" = None

    def made(self, **changes):
        """One for all tests: it takes seconds to read."""
        if changes:
            return super().made(**changes)
        kind = type(self)
        kind.made_before = kind.made_before or super().made()
        kind.made_before.__dict__.pop("identity", None)
        return kind.made_before
