"""Built-in scenarios of exitdrill and the small models that they run on."""
