"""What may hold a proposed act back, each with its reason: held is a result that a person sees, not a silence."""
