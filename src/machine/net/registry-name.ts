/** What nodes call the registry beside them. */
export const REGISTRY_NAME = 'registry';
export const REGISTRY_PORT = 5000;
